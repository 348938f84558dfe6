"""A worker of a history, as tests/c/history.c is one, over the Python package.

Arguments: a folder with document.json, for the log; and
"<number> <seed> <keys> <operations> <operations a second> <mixed|final>", where 0 is without end.
"""

from __future__ import annotations

import os
import random
import select
import sys
import time
from pathlib import Path
from typing import NamedTuple

import tokencache
from tokencache import ABSENT, Status, TokencacheError
from tokencache import cache as package

SHORTEST, LONGEST = 200, 6000


class Seen(NamedTuple):
    """What a read saw: the words of the log, of its value, or none."""

    status: int
    version: int
    words: str


class Statuses:
    """The status of each call, which `set` and `remove` do not return."""

    def __init__(self) -> None:
        self.last = int(Status.OK)
        self._check = package.check
        package.check = self._keep

    def _keep(self, status: int) -> int:
        self.last = int(status)
        return self._check(status)


def words_of(value: bytes) -> str:
    """Which write a value says it is; the tag stands in it over and over, to its end."""
    tag, newline, _ = value.partition(b"\n")
    fields = tag.split(b" ")
    whole = tag + newline
    if not newline or len(fields) != 6 or not all(field.isdigit() for field in fields) or int(fields[5]) != len(value):
        return "? ? ?"
    if value[: -len(whole)] != value[len(whole) :]:
        return "? ? ?"
    return b" ".join(fields[:3]).decode()


class Worker:
    """Reads and writes, and notes what it did."""

    def __init__(self, folder: Path, number: int, seed: int, keys: int) -> None:
        self.number, self.keys, self.written = number, keys, 0
        self.random, self.statuses = random.Random(seed), Statuses()
        self.log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self.cache = tokencache.open((folder / "document.json").read_bytes())

    def note(self, line: str) -> None:
        """A whole line by one call, so that a kill leaves no half of one that others follow."""
        os.write(self.log, f"{line}\n".encode())

    def value(self, key: int, ttl_ms: int) -> bytes:
        length = self.random.randrange(SHORTEST, LONGEST)
        ends = (time.time_ns() // 1_000_000 + ttl_ms, time.monotonic_ns() + ttl_ms * 1_000_000) if ttl_ms else (0, 0)
        tag = f"{key} {self.number} {self.written} {ends[0]} {ends[1]} {length}\n".encode()
        return (tag * (length // len(tag) + 1))[:length]

    def look(self, key: int) -> Seen:
        version, tier, words = 0, 0, "- - -"
        begin = time.monotonic_ns()
        # Not `get`, which does not tell what is degraded.
        try:
            entry = self.cache.get_entry(f"history-{key}")
            end, status = time.monotonic_ns(), self.statuses.last
            if entry is not None:
                version, tier, words = entry.version, int(entry.tier), words_of(entry.data)
        except TokencacheError as error:
            end, status = time.monotonic_ns(), int(error.status)
        self.note(f"r {key} {begin} {end} {status} {tier} {version} {words}")
        return Seen(status, version, words)

    def write(self, key: int, kind: str, ttl_ms: int = 0, sliding_ms: int = 0, base: Seen | None = None) -> None:
        name, value, version, expected = f"history-{key}", self.value(key, ttl_ms), 0, None
        base_words = "- -"
        if base is not None:
            expected = ABSENT if base.status == Status.NOT_FOUND else base.version
            base_words = " ".join(base.words.split()[1:])
        begin = time.monotonic_ns()
        self.note(f"b {self.written} {kind} {key} {begin} {ttl_ms} {sliding_ms} {expected or 0} {base_words}")
        try:
            if kind == "remove":
                self.cache.remove(name)
            else:
                ttl, sliding = (ms / 1000 if ms else None for ms in (ttl_ms, sliding_ms))
                version = self.cache.set(name, value, ttl=ttl, sliding=sliding, expected_version=expected)
            status = self.statuses.last
        except TokencacheError as error:
            status = int(error.status)
        self.note(f"e {self.written} {time.monotonic_ns()} {status} {version}")
        self.written += 1

    def compare_and_swap(self, key: int) -> None:
        seen = self.look(key)
        is_known = seen.status in (Status.OK, Status.DEGRADED) and seen.words[0] != "?"
        if is_known or seen.status == Status.NOT_FOUND:
            self.write(key, "swap", base=seen)

    def operate(self) -> None:
        # Of two, the lower: some keys are hot.
        key = min(self.random.randrange(self.keys), self.random.randrange(self.keys))
        choice = self.random.randrange(100)
        if choice < 70:
            self.look(key)
        elif choice < 82:
            self.write(key, "set")
        elif choice < 91:
            self.compare_and_swap(key)
        elif choice < 94:
            self.write(key, "remove")
        elif choice < 97:
            self.write(key, "set", ttl_ms=self.random.randrange(20, 420))
        else:
            self.write(key, "set", ttl_ms=2000, sliding_ms=self.random.randrange(200, 800))

    def work(self, operations: int, pace: int) -> None:
        begin, done = time.monotonic(), 0
        while (operations == 0 or done < operations) and not select.select([0], [], [], 0)[0]:
            self.operate()
            done += 1
            if pace:
                time.sleep(max(begin + done / pace - time.monotonic(), 0))

    def close(self) -> None:
        self.cache.close()
        self.note(f"q {time.monotonic_ns()}")


def main() -> None:
    folder, (*numbers, role) = Path(sys.argv[1]), sys.argv[2].split()
    number, seed, keys, operations, pace = map(int, numbers)
    worker = Worker(folder, number, seed, keys)
    worker.note(f"worker {number}{' final' if role == 'final' else ''}")
    if role == "final":
        for key in range(keys):
            worker.look(key)
    else:
        worker.work(operations, pace)
    worker.close()


if __name__ == "__main__":
    main()
