//! What happened to one key around one moment, by everybody.

use super::log::{Event, Log, Seen};
use super::{seconds, status_name};

/// So far back.
const BACK_NS: u64 = 2_000_000_000;

/// Prints everything that began in the time before `place`, a key and a moment.
pub fn tell(logs: &[Log], (key, at_ns): (u32, u64)) {
    let mut lines = Vec::new();
    let is_near = |begin_ns: u64| (at_ns.saturating_sub(BACK_NS)..=at_ns).contains(&begin_ns);
    for log in logs {
        let (mut worker, mut begun) = (0, None);
        log.each(|event| match event {
            Event::Worker { number, .. } => worker = number,
            Event::Begun(it) if it.key == key && is_near(it.begin_ns) => begun = Some(it),
            Event::Ended(it) => {
                if let Some(write) = begun.take_if(|write| write.sequence == it.sequence) {
                    let what = format!("{:?} {worker}/{} onto {:?}", write.kind, write.sequence, write.base);
                    lines.push((write.begin_ns, it.end_ns, worker, it.status, what));
                }
            }
            Event::Read(it) if it.key == key && is_near(it.begin_ns) => {
                let found = match it.seen {
                    Seen::Value { tag, .. } => format!("{}/{}", tag.writer, tag.sequence),
                    nothing => format!("{nothing:?}"),
                };
                lines.push((
                    it.begin_ns,
                    it.end_ns,
                    worker,
                    it.status,
                    format!("read {found} (tier {})", it.tier),
                ));
            }
            _ => {}
        });
    }
    lines.sort();
    println!("key {key}, the time before:");
    for (begin_ns, end_ns, worker, status, what) in lines {
        let (begin, end, status) = (seconds(begin_ns), seconds(end_ns), status_name(status));
        println!("  {begin} to {end}, worker {worker}: {what}: {status}");
    }
}
