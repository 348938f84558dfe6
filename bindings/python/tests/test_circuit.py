"""The circuit: what calls are told while L2 cannot serve, and that they reach it again when it can."""

from __future__ import annotations

import asyncio
import logging
import time
import unittest
from typing import Any

import redis_faults
import tokencache
from faults import DirectoryGone, DiskFull, Fault, Locked, LockedForWriters, NotADatabase, ReadOnly
from retry_cell import KEY, NEW, before, require, timed, under
from support import wait_until
from tokencache import Cache, Level, Retry, Status

#: With the circuit as it is where nobody says otherwise; ``retry_cell`` has none.
CIRCUIT = {"circuit_failures": 5, "max_attempts": 1}

# What a read and a write meet at first, and what after five of them each. Where L2 can still be read, reads go on. What
# is written is kept and owed, unless L2 answers nonsense.
EXPECTED = """
fault              get             set             then-get        then-set
locked             L2_BUSY         DEGRADED        L2_SUSPENDED    DEGRADED
locked-for-writers OK              DEGRADED        OK              DEGRADED
not-a-database     L2_PROTOCOL     L2_PROTOCOL     L2_PROTOCOL     L2_PROTOCOL
directory-gone     L2_UNREACHABLE  DEGRADED        L2_SUSPENDED    DEGRADED
read-only          OK              DEGRADED        OK              DEGRADED
disk-full          OK              DEGRADED        OK              DEGRADED
nothing-listens    L2_UNREACHABLE  DEGRADED        L2_SUSPENDED    DEGRADED
killed             L2_UNREACHABLE  DEGRADED        L2_SUSPENDED    DEGRADED
stopped            L2_TIMEOUT|L2_UNREACHABLE DEGRADED L2_SUSPENDED  DEGRADED
wrong-password     L2_DENIED       DEGRADED        L2_SUSPENDED    DEGRADED
read-only-replica  L2_BUSY|L2_UNREACHABLE DEGRADED    L2_SUSPENDED  DEGRADED
full               OK              DEGRADED        OK              DEGRADED
loading            L2_BUSY         DEGRADED        L2_SUSPENDED    DEGRADED
script-busy        L2_BUSY         DEGRADED        L2_SUSPENDED    DEGRADED
another-type       L2_PROTOCOL     L2_PROTOCOL     L2_PROTOCOL     L2_PROTOCOL
"""
ROWS = {row[0]: row[1:] for row in map(str.split, EXPECTED.strip().splitlines()[1:])}
FAULTS: tuple[type[Any], ...] = (Locked, LockedForWriters, NotADatabase, DirectoryGone, ReadOnly, DiskFull)
REDIS_FAULTS = tuple(fault for fault in redis_faults.FAULTS if fault.name in ROWS)


def status_of(operation: Any, *arguments: Any) -> str:
    try:
        operation(*arguments)
    except tokencache.TokencacheError as error:
        return Status(error.status).name
    return "OK"


def write(cache: Cache, key: bytes) -> str:
    return timed(lambda cache: cache.set(key, NEW), cache)[0]


def circuit(cache: Cache) -> dict[str, Any]:
    return cache.stats()["l2"]["circuit"]


def open_it(cache: Cache) -> None:
    wait_until(lambda: status_of(cache.get, KEY) == "L2_SUSPENDED", seconds=60)


class Table(unittest.TestCase):
    def test_the_table_has_every_row(self) -> None:
        self.assertEqual(set(ROWS), {fault.name for fault in (*FAULTS, *REDIS_FAULTS)})

    def hold(self, kind_of_fault: type[Fault]) -> None:
        first_read, first_write, then_read, then_write = ROWS[kind_of_fault.name]
        # What is owed for a key answers for L2.
        key = KEY if first_write == "L2_PROTOCOL" else b"another key"
        with under(kind_of_fault, **CIRCUIT) as (_, cache):
            self.assertEqual(write(cache, key), first_write)
            cache.clear()
            # A link that is given up under a read ends it with that, if its own time has not ended it before.
            self.assertIn(status_of(cache.get, KEY), first_read.split("|"))
            for _ in range(5):
                cache.clear()
                status_of(cache.get, KEY)
                write(cache, key)
            cache.clear()
            self.assertEqual((status_of(cache.get, KEY), write(cache, key)), (then_read, then_write))
            self.assertEqual(circuit(cache)["state"], "open" if then_read == "L2_SUSPENDED" else "closed")


def _row(fault: type[Any]) -> None:
    def hold(self: Table) -> None:
        require(fault)
        self.hold(fault)

    setattr(Table, f"test_the_row_of_{fault.name.replace('-', '_')}", hold)


for _fault in (*FAULTS, *REDIS_FAULTS):
    _row(_fault)


class Open(unittest.TestCase):
    def test_it_says_since_when_and_why_and_counts(self) -> None:
        with under(DirectoryGone, **CIRCUIT) as (fault, cache):
            open_it(cache)
            with self.assertRaises(tokencache.L2Suspended) as raised:
                cache.get(KEY)
            message = str(raised.exception)
            self.assertRegex(message, r"circuit is open since \d\d:\d\d:\d\d UTC, because 5 attempts in a row failed")
            told = circuit(cache)
            self.assertIn(told["reason"], message)
            self.assertEqual((told["state"], told["opened"]), ("open", 1))
            self.assertGreaterEqual(told["suspended_calls"], 2)
            wait_until(lambda: circuit(cache)["open_ms"] > told["open_ms"])
            fault.repair()
            wait_until(lambda: status_of(cache.get, KEY) == "OK", seconds=60)
            wait_until(lambda: circuit(cache)["state"] == "closed", seconds=60)
            self.assertEqual(circuit(cache)["open_ms"], 0)

    def test_the_callback_is_not_asked_and_the_log_is_told_once(self) -> None:
        with before(DirectoryGone, **CIRCUIT) as (fault, cache):
            asked: list[Any] = []
            cache.on_retry(lambda failure: asked.append(failure))
            cache.on_log(Level.WARN)
            with self.assertLogs("tokencache", logging.WARNING) as logs:
                fault.inject()
                open_it(cache)
                for _ in range(100):
                    status_of(cache.get, KEY)
                wait_until(lambda: any("The circuit of L2 opened" in line for line in logs.output))
                fault.repair()
                wait_until(lambda: any("The circuit of L2 closed" in line for line in logs.output), seconds=60)
            self.assertEqual(len(asked), 5)
            self.assertLess(len(logs.output), 20)
            cache.on_log(None)

    def test_calls_that_are_awaited_are_answered_too(self) -> None:
        async def scenario(cache: Cache) -> None:
            with self.assertRaises(tokencache.L2Suspended):
                await cache.aget(KEY)
            self.assertGreater(await cache.aset(KEY, NEW), 0)
            self.assertEqual(await cache.aget(KEY), NEW)
            await cache.aremove(KEY)
            self.assertIsNone(await cache.aget(KEY))

        with under(DirectoryGone, **CIRCUIT) as (_, cache):
            open_it(cache)
            asyncio.run(asyncio.wait_for(scenario(cache), 60))


class Redis(unittest.TestCase):
    def test_nobody_waits_for_a_server_that_stands_still_and_it_is_used_again_when_it_goes_on(self) -> None:
        with under(redis_faults.Stopped, **CIRCUIT) as (fault, cache):
            open_it(cache)
            begin = time.monotonic()
            for _ in range(1000):
                self.assertEqual(status_of(cache.get, KEY), "L2_SUSPENDED")
            self.assertLess(time.monotonic() - begin, 5)
            fault.repair()
            wait_until(lambda: status_of(cache.get, KEY) == "OK", seconds=60)

    def test_a_document_that_leads_elsewhere_closes_it_at_once_also_in_the_callback(self) -> None:
        for where in ("outside", "inside"):
            with self.subTest(where), under(redis_faults.Killed, **CIRCUIT) as (fault, cache):
                fault.prepare_remedy()
                elsewhere = fault.remedy(resilience={"deadline_ms": 20_000})
                if where == "outside":
                    open_it(cache)
                    cache.configure(elsewhere)
                else:
                    cache.configure(fault.document(resilience={"circuit_failures": 1, "deadline_ms": 20_000}))
                    seen = []

                    def lead(_: tokencache.Failure) -> Retry:
                        seen.append(status_of(cache.get, KEY))
                        cache.configure(elsewhere)
                        seen.append(status_of(cache.get, KEY))
                        return Retry(0)

                    cache.on_retry(lead)
                cache.set(KEY, NEW)
                self.assertEqual(fault.elsewhere.ask("HGET", "p:key", "data"), NEW)
                self.assertEqual(circuit(cache)["state"], "closed")
                if where == "inside":
                    self.assertEqual(seen, ["L2_SUSPENDED", "OK"])


if __name__ == "__main__":
    unittest.main()
