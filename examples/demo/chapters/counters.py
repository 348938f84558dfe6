"""What the library counted on the way."""

from __future__ import annotations

import stage


COUNTERS = (
    ("L1 hits", lambda stats: stats["l1"]["hits"]),
    ("L1 misses", lambda stats: stats["l1"]["misses"]),
    ("L1 evictions", lambda stats: stats["l1"]["evictions"]),
    ("L2 hits", lambda stats: stats["l2"].get("hits", 0)),
    ("L2 attempts that failed", lambda stats: sum(stats["l2"].get("failed_attempts", {}).values())),
    ("L2 calls that failed", lambda stats: sum(stats["l2"].get("failed_calls", {}).values())),
    ("retry callbacks", lambda stats: stats["l2"].get("retry_callbacks", 0)),
)


def run(tour) -> None:
    stage.say("One call, stats(), answers with all of it as JSON. From the caches of this tour:")
    counted = tour.kept.values()
    heads = [f"chapter {number}" for number in tour.kept]
    stage.table(heads, ((name, [f"{read(stats):,}" for stats in counted]) for name, read in COUNTERS))
    asked = sum(stats["l2"].get("retry_callbacks", 0) for stats in counted)
    failed = sum(sum(stats["l2"].get("failed_attempts", {}).values()) for stats in counted)
    stage.holds(f"Each of the {failed} failed attempts was put to a callback.", asked == failed)
