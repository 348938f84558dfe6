"""What stands beside other caches: their crates, their Python packages, and the table of hit ratios."""

import functools
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import drivers
from drivers import OUT, ROOT, run

CRATES = ["moka", "quick_cache", "dashmap"]
PACKAGES = ["cachetools==8.0.2", "msal==1.39.0", "msal-extensions==1.3.1", "redis[hiredis]==8.1.0"]

TRACES = {
    "zipf": "Zipf",
    "scan": "Zipf, scans",
    "shift": "Zipf that shifts",
    "sessions": "sessions, Zipf users",
    "sessions_uniform": "sessions, any user",
}
PERCENTS = [1, 5, 10]
CACHES = ["tokencache", "lru", "moka", "quick_cache"]


@functools.cache
def has_crates() -> bool:
    """Builds the peers; false where their crates are not here and cannot be fetched."""
    manifest = ["--locked", "--quiet", "--manifest-path", ROOT / "benches/peers/Cargo.toml"]
    if subprocess.run(["cargo", "fetch", *manifest], stderr=subprocess.DEVNULL).returncode:
        return False
    run(["cargo", "build", "--release", *manifest, "--target-dir", drivers.TARGET])
    return True


@functools.cache
def python() -> str | None:
    """A Python that has the packages; none where the Python registry is not at hand."""
    made = subprocess.run([ROOT / "tools/python-env", "peers", *PACKAGES], capture_output=True, text=True)
    return f"{made.stdout.strip()}/bin/python" if made.returncode == 0 else None


def hit_ratios(requests: int) -> dict:
    """Each "TRACE PERCENT CACHE", and the rows that are made of them. Nothing is timed, so the traces run side by side."""
    def of_trace(name: str) -> dict:
        lines = run([OUT / "hitratio", name, requests]).splitlines()
        return {line.split("\t")[0]: (float(line.split("\t")[1]), "%") for line in lines}

    found: dict = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for ratios in pool.map(of_trace, TRACES):
            found |= ratios

    def row(trace: str, percent: int) -> tuple:
        ours, *others = (found[f"{trace} {percent} {cache}"][0] for cache in CACHES)
        beside = ", ".join(f"{cache} {ratio:.2f}" for cache, ratio in zip(CACHES[1:], others))
        return ours - others[0], f"{TRACES[trace]}, {percent} %: {ours:.2f} %; {beside}"

    sessions = [row(trace, percent) for trace in ("sessions", "sessions_uniform") for percent in PERCENTS]
    zipf = (found["zipf 5 tokencache"][0], row("zipf", 5)[1])
    return found | {"hit_ratio": zipf, "scan_above_lru": row("scan", 5), "sessions_above_lru": min(sessions)}


def table(found: dict) -> None:
    """The hit ratios among what was found."""
    if f"zipf 1 {CACHES[0]}" not in found:
        return
    print(f"\n{'hit ratio, %':28}{'room for':>8}" + "".join(f"{cache:>14}" for cache in CACHES))
    for trace, what in TRACES.items():
        for percent in PERCENTS:
            ratios = "".join(f"{found[f'{trace} {percent} {cache}'][0]:14.2f}" for cache in CACHES)
            print(f"{what if percent == PERCENTS[0] else '':28}{percent:6} %{ratios}")
