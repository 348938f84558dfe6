"""Two programs in two languages share one cache."""

from __future__ import annotations

import json
import statistics
import subprocess
import time

import stage
import tokencache
import workshop


KEY = "a11ce000-0000-4000-8000-00000000000a.7e000000-0000-4000-8000-000000000001"
WARM, COLD = 50_000, 500


def run(tour) -> None:
    place = tour.place("languages")
    document = place.document()
    blob = workshop.BLOB.read_bytes()
    _issue(tour, place, len(blob))

    stage.line()
    stage.say(f"Python opens {place.opened}. Its own L1 is empty, so L2 answers first.")
    with tokencache.open(document) as cache:
        first, took = stage.timed(lambda: stage.found(cache.get_entry(KEY), "Alice's"))
        again = stage.found(cache.get_entry(KEY), "Alice's")
        stage.row("first read", stage.duration(took), f"tier {first.tier.name}, version {first.version}")
        stage.holds("Byte for byte what C stored.", first.data == blob)
        stage.say(f"  MSAL's own JSON: {_contents(blob)}.")
        stage.holds("The second read comes from L1.", (first.tier, again.tier) == (tokencache.Tier.L2, tokencache.Tier.L1))
        cold = statistics.median(_read(cache, is_cold=True) for _ in range(COLD))
        warm = statistics.median(_read(cache) for _ in range(WARM))
        stats = cache.stats()
    tour.keep(stats)
    _compare(cold, warm, stats)


def _issue(tour, place, size: int) -> None:
    stage.say(f"A C program signs Alice in, and stores what MSAL keeps of her in {place.name}.")
    command = [str(tour.issuer), json.dumps(place.document()), KEY, str(workshop.BLOB), "3600"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except PermissionError:
        raise stage.Broken(f"{tour.issuer} may not run; set TMPDIR to where programs may.") from None
    if done.returncode != 0:
        raise stage.Broken(f"The C program failed: {done.stderr.strip()}")
    stored, version, took_us = done.stdout.split()
    stage.row("tc_set, from C", stage.duration(float(took_us) / 1e6), f"{int(stored):,} bytes, version {version}")
    stage.holds("C stored the whole blob.", int(stored) == size)


def _contents(blob: bytes) -> str:
    msal = json.loads(blob)
    return f"{len(msal['AccessToken'])} access token, {len(msal['RefreshToken'])} refresh token"


def _read(cache, is_cold: bool = False) -> float:
    if is_cold:
        cache.clear()
    started = time.perf_counter()
    cache.get(KEY)
    return time.perf_counter() - started


def _compare(cold: float, warm: float, stats: dict) -> None:
    inside_cold = stats["l2"]["latency"]["get"]["p50_us"] / 1e6
    inside_warm = stats["l1"]["latency"]["get"]["p50_us"] / 1e6
    figures = lambda l2, l1: (stage.duration(l2), stage.duration(l1), f"{l2 / l1:.0f} ×")
    stage.line()
    stage.say(f"Medians of {WARM:,} reads, and of {COLD} with L1 emptied before each:")
    stage.table(
        ("L2", "L1", "faster"),
        (
            ("as Python sees it", figures(cold, warm)),
            ("inside the library", figures(inside_cold, inside_warm)),
        ),
    )
    stage.holds("L1 is faster.", warm < cold and inside_warm < inside_cold)
    hits = stats["l1"]["hits"]
    stage.holds(f"The library counted {hits:,} hits of L1, and so did this tour.", hits == WARM + 1)
