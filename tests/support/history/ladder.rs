//! What was the most by then?

use super::writes::Id;

/// Answers, for any time, which of the writes noted for that time or an earlier one has the largest mark.
#[derive(Debug, Default)]
pub struct Ladder {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    time_ns: u64,
    mark_ns: u64,
    write: Id,
}

impl Ladder {
    pub fn note(&mut self, time_ns: u64, mark_ns: u64, write: Id) {
        self.steps.push(Step { time_ns, mark_ns, write });
    }

    /// To be called once, between the last note and the first question.
    pub fn settle(&mut self) {
        self.steps.sort_unstable_by_key(|step| (step.time_ns, step.mark_ns));
        let mut top = None;
        self.steps.retain(|step| {
            let is_higher = top.is_none_or(|top| step.mark_ns > top);
            top = top.max(Some(step.mark_ns));
            is_higher
        });
        self.steps.shrink_to_fit();
    }

    /// The largest mark noted for `time_ns` or earlier.
    pub fn mark_until(&self, time_ns: u64) -> Option<u64> {
        self.until(time_ns).map(|step| step.mark_ns)
    }

    /// The write with the largest mark of those noted for more than `margin_ns` before `time_ns`.
    pub fn before(&self, time_ns: u64, margin_ns: u64) -> Option<Id> {
        self.until(time_ns.checked_sub(margin_ns)?.checked_sub(1)?).map(|step| step.write)
    }

    fn until(&self, time_ns: u64) -> Option<&Step> {
        let count = self.steps.partition_point(|step| step.time_ns <= time_ns);
        self.steps[..count].last()
    }
}
