"""A limit that holds."""

from __future__ import annotations

import os

import stage
import tokencache


LIMIT = 10 * 2**20
TOKENS, SIZE = 20_000, 7_000
#: What the allocator and this interpreter may take beside the entries.
SLACK = 4 * 2**20


def run(tour) -> None:
    stage.say('"My memory cache grows too much and crashes my server": not this one. L1 may take 10 MB.')
    with tokencache.open({"version": 1, "l1": {"capacity_bytes": LIMIT}, "logging": {"to": "none"}}) as cache:
        before = _resident_bytes()
        newest, took = stage.timed(lambda: _fill(cache))
        grown = _resident_bytes() - before
        stats = cache.stats()
        readable = _readable(cache)
        tour.keep(stats)
        stage.row("stored", stage.megabytes(TOKENS * SIZE), f"{TOKENS:,} user tokens, in {stage.duration(took)}")
        stage.row("the limit", stage.megabytes(LIMIT), "keys, values and overhead counted")
        stage.row("L1 by its own count", stage.megabytes(stats["l1"]["bytes"]), f"{stats['l1']['entries']:,} entries")
        stage.row("this process grew by", stage.megabytes(grown), "resident, as the kernel counts")
        stage.holds("L1 kept its limit.", stats["l1"]["bytes"] <= LIMIT)
        stage.holds(f"So did the process, within {stage.megabytes(SLACK)}.", grown <= LIMIT + SLACK)
        stage.holds("The newest token is readable.", cache.get(_key(TOKENS - 1)) == newest)
        # The promise is an eighth of the capacity, by bytes; a key and its overhead are below 500.
        promised = LIMIT // 8 // (SIZE + 500)
        stage.holds(f"So are the {readable} before it; {promised} are promised.", readable >= promised)


def _fill(cache) -> bytes:
    for number in range(TOKENS):
        token = os.urandom(SIZE)
        cache.set(_key(number), token)
        if number % 500 == 0:
            stage.progress(number, TOKENS, "tokens")
    stage.progress(TOKENS, TOKENS, "tokens")
    return token


def _readable(cache) -> int:
    """How many of the newest are there without a gap, the very newest not counted."""
    for back in range(1, TOKENS):
        if cache.peek(_key(TOKENS - 1 - back)) is None:
            return back - 1
    return TOKENS - 1


def _key(number: int) -> str:
    return f"user-{number}.tenant"


def _resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
