"""A process of a rotation: reads and writes at a pace, and tells what came of it when it is asked.

tests/c/rotation.c does the same.
"""

from __future__ import annotations

import json
import random
import select
import sys
import time

import tokencache

KEYS, TIMES = 200, 20
PERIOD = 1 / 333


def value(key: int, writer: int, number: int) -> bytes:
    return b"key=%d writer=%d number=%d;" % (key, writer, number) * TIMES


class Worker:
    def __init__(self, document: str, writer: int) -> None:
        self.cache = tokencache.open(document)
        self.writer = writer
        self.chance = random.Random(writer)
        self.told = {"reads": 0, "writes": 0, "moved": 0, "failed_reads": 0, "failed_writes": 0, "wrong": 0}
        self.highest = [0, 0, 0, 0]

    def fail(self, what: str, why: object) -> None:
        self.told[what] += 1
        print(f"worker {self.writer}: {what}: {why}", file=sys.stderr)

    def check(self, key: int, data: bytes) -> None:
        try:
            parts = dict(part.split("=") for part in data[: data.index(b";")].decode().split())
            found, writer, number = int(parts["key"]), int(parts["writer"]), int(parts["number"])
            is_right = found == key and data == value(key, writer, number)
            self.highest[writer] = max(self.highest[writer], number)
        except (ValueError, KeyError, IndexError):
            is_right = False
        if not is_right:
            self.fail("wrong", f"key {key} holds {data[:60]!r}")

    def read(self, key: int) -> None:
        self.told["reads"] += 1
        try:
            entry = self.cache.get_entry(f"k{key}")
        except tokencache.TokencacheError as error:
            return self.fail("failed_reads", error)
        if entry is None or entry.degraded:
            return self.fail("failed_reads", "not found" if entry is None else "not from L2")
        data = bytes(entry.data)
        self.check(key, data)
        if entry.retired_key:
            self.move(key, data, entry.version)

    def move(self, key: int, data: bytes, version: int) -> None:
        """Store it again, which seals it under the active key, unless somebody else has."""
        try:
            self.cache.set(f"k{key}", data, expected_version=version)
            self.told["moved"] += 1
        except tokencache.Conflict:
            pass
        except tokencache.TokencacheError as error:
            self.fail("failed_writes", error)

    def write(self, key: int) -> None:
        self.told["writes"] += 1
        try:
            self.cache.set(f"k{key}", value(key, self.writer, self.told["writes"]))
        except tokencache.TokencacheError as error:
            self.fail("failed_writes", error)

    def answer(self, line: str) -> None:
        command, _, rest = line.strip().partition(" ")
        if command == "configure":
            self.cache.configure(rest)
        print(json.dumps({**self.told, "highest": self.highest, "stats": self.cache.stats()}), flush=True)

    def run(self) -> None:
        due = time.monotonic()
        while True:
            due = max(due + PERIOD, time.monotonic() - 1)
            while select.select([sys.stdin], [], [], max(due - time.monotonic(), 0))[0]:
                line = sys.stdin.readline()
                if not line:
                    self.cache.close()
                    return
                self.answer(line)
            key = self.chance.randrange(KEYS)
            self.write(key) if self.chance.randrange(4) == 0 else self.read(key)


Worker(sys.argv[1], int(sys.argv[2])).run()
