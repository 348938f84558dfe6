//! The figures of all walks, side by side.

use std::collections::BTreeSet;

use super::usage::Usage;
use super::walk::Outcome;

type Row = (String, Vec<String>);
type Held = (&'static str, fn(&Usage) -> u64);

/// A line for each figure, a column for each walk.
pub fn print(outcomes: &[Outcome]) {
    let each = |figure: &dyn Fn(&Outcome) -> String| outcomes.iter().map(figure).collect::<Vec<_>>();
    let mut rows: Vec<Row> = vec![(String::new(), each(&|it| it.name.to_owned()))];
    let mut row =
        |name: &str, figure: &dyn Fn(&Outcome) -> String| rows.push((name.to_owned(), each(figure)));
    row("operations", &|it| (it.report.reads + it.report.writes).to_string());
    row("seconds", &|it| format!("{:.0}", it.report.lasted.as_secs_f64()));
    row("workers, killed", &|it| format!("{}, {}", it.report.workers, it.report.killed));
    row("reads", &|it| it.report.reads.to_string());
    row("  from L1", &|it| it.report.l1_reads.to_string());
    row("  degraded", &|it| it.report.degraded_reads.to_string());
    row("  failed", &|it| it.report.failed_reads.to_string());
    row("writes", &|it| it.report.writes.to_string());
    row("  conflicts", &|it| it.report.conflicts.to_string());
    row("  degraded", &|it| it.report.degraded_writes.to_string());
    row("  of unknown outcome", &|it| it.report.unknown_writes.to_string());
    row("faults", &|it| it.faults.values().sum::<u64>().to_string());
    let kinds: BTreeSet<_> = outcomes.iter().flat_map(|it| it.faults.keys()).collect();
    for kind in kinds {
        row(&format!("  {kind}"), &|it| it.faults.get(kind).map_or("-".to_owned(), u64::to_string));
    }
    for (which, (language, ..)) in outcomes[0].elders.iter().enumerate() {
        let held: [Held; 3] = [
            ("resident KB", |usage| usage.resident_kb),
            ("descriptors", |usage| usage.descriptors),
            ("threads", |usage| usage.threads),
        ];
        for (name, of) in held {
            row(&format!("{name}, {language}, first, last"), &|it| {
                let (_, first, last) = &it.elders[which];
                format!("{} → {}", of(first), of(last))
            });
        }
    }
    row("violations", &|it| it.report.violated.values().sum::<u64>().to_string());
    for (name, figures) in rows {
        let figures: Vec<_> = figures.iter().map(|figure| format!("{figure:>22}")).collect();
        println!("{name:<34}{}", figures.concat());
    }
}
