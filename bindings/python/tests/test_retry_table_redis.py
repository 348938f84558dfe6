"""What a call does when Redis fails, for every fault, operation and kind of retry callback.

With ``--table``, and with ``PYTHONPATH=bindings/python/src``, this program prints what it measures, for a person.
"""

from __future__ import annotations

import sys
import unittest

import redis_faults
import tokencache
from redis_faults import FAULTS, RedisFault
from retry_cell import DEADLINE_MS, KEY, NEW, OPERATIONS, Measured, before, measure, print_table, timed, under
from tokencache import Retry

# As in test_retry_table.py: the status, and under each kind of callback how often it is called / how often L2 is tried.
#
# One that reconfigures leads to another server, which answers, so that there the status is OK. What was set is there.
EXPECTED = """
fault              operation  status          no-callback  retry  give-up  nonsense  raises  blocks  reconfigures
nothing-listens    get        L2_UNREACHABLE  0/2          2/2    1/1      2/2       2/2     1/1     1/2
nothing-listens    set        DEGRADED        0/2          2/2    1/1      2/2       2/2     1/1     1/2
nothing-listens    remove     DEGRADED        0/2          2/2    1/1      2/2       2/2     1/1     1/2
nothing-listens    touch      L2_UNREACHABLE  0/2          2/2    1/1      2/2       2/2     1/1     1/2
killed             get        L2_UNREACHABLE  0/2          2/2    1/1      2/2       2/2     1/1     1/2
killed             set        DEGRADED        0/2          2/2    1/1      2/2       2/2     1/1     1/2
killed             remove     DEGRADED        0/2          2/2    1/1      2/2       2/2     1/1     1/2
killed             touch      L2_UNREACHABLE  0/2          2/2    1/1      2/2       2/2     1/1     1/2
stopped            get        L2_TIMEOUT      0/2          2/2    1/1      2/2       2/2     1/1     1/2
stopped            set        DEGRADED        0/2          2/2    1/1      2/2       2/2     1/1     1/2
stopped            remove     DEGRADED        0/2          2/2    1/1      2/2       2/2     1/1     1/2
stopped            touch      L2_TIMEOUT      0/2          2/2    1/1      2/2       2/2     1/1     1/2
wrong-password     get        L2_DENIED       0/1          2/2    1/1      1/1       1/1     1/1     1/2
wrong-password     set        DEGRADED        0/1          2/2    1/1      1/1       1/1     1/1     1/2
wrong-password     remove     DEGRADED        0/1          2/2    1/1      1/1       1/1     1/1     1/2
wrong-password     touch      L2_DENIED       0/1          2/2    1/1      1/1       1/1     1/1     1/2
password-changed   get        L2_DENIED       0/1          2/2    1/1      1/1       1/1     1/1     1/2
password-changed   set        DEGRADED        0/1          2/2    1/1      1/1       1/1     1/1     1/2
password-changed   remove     DEGRADED        0/1          2/2    1/1      1/1       1/1     1/1     1/2
password-changed   touch      L2_DENIED       0/1          2/2    1/1      1/1       1/1     1/1     1/2
read-only-replica  get        OK              0/1          0/1    0/1      0/1       0/1     0/1     0/1
read-only-replica  set        DEGRADED        0/2          2/2    1/1      2/2       2/2     1/1     1/2
read-only-replica  remove     DEGRADED        0/2          2/2    1/1      2/2       2/2     1/1     1/2
read-only-replica  touch      L2_BUSY         0/2          2/2    1/1      2/2       2/2     1/1     1/2
full               get        OK              0/1          0/1    0/1      0/1       0/1     0/1     0/1
full               set        DEGRADED        0/1          2/2    1/1      1/1       1/1     1/1     1/2
full               remove     DEGRADED        0/1          2/2    1/1      1/1       1/1     1/1     1/2
full               touch      OK              0/1          0/1    0/1      0/1       0/1     0/1     0/1
loading            get        L2_BUSY         0/2          2/2    1/1      2/2       2/2     1/1     1/2
loading            set        DEGRADED        0/2          2/2    1/1      2/2       2/2     1/1     1/2
loading            remove     DEGRADED        0/2          2/2    1/1      2/2       2/2     1/1     1/2
loading            touch      L2_BUSY         0/2          2/2    1/1      2/2       2/2     1/1     1/2
script-busy        get        L2_BUSY         0/2          2/2    1/1      2/2       2/2     1/1     1/2
script-busy        set        DEGRADED        0/2          2/2    1/1      2/2       2/2     1/1     1/2
script-busy        remove     DEGRADED        0/2          2/2    1/1      2/2       2/2     1/1     1/2
script-busy        touch      L2_BUSY         0/2          2/2    1/1      2/2       2/2     1/1     1/2
another-type       get        L2_PROTOCOL     0/1          2/2    1/1      1/1       1/1     1/1     1/2
another-type       set        L2_PROTOCOL     0/1          2/2    1/1      1/1       1/1     1/1     1/2
another-type       remove     OK              0/1          0/1    0/1      0/1       0/1     0/1     0/1
another-type       touch      L2_PROTOCOL     0/1          2/2    1/1      1/1       1/1     1/1     1/2
cut-reply          get        L2_UNREACHABLE  0/2          2/2    1/1      2/2       2/2     1/1     1/2
cut-reply          set        DEGRADED        0/2          2/2    1/1      2/2       2/2     1/1     1/2
cut-reply          remove     DEGRADED        0/2          2/2    1/1      2/2       2/2     1/1     1/2
cut-reply          touch      L2_UNREACHABLE  0/2          2/2    1/1      2/2       2/2     1/1     1/2
"""

LATE_MS = 50
#: What no load on the machine excuses.
MUCH_TOO_LATE_MS = 1000
TRIES = 3

_HEAD, *_LINES = [line.split() for line in EXPECTED.strip().splitlines()]
KINDS = _HEAD[3:]
ROWS = {
    (fault, operation): (status, dict(zip(KINDS, cells)))
    for fault, which, status, *cells in _LINES
    for operation in (OPERATIONS if which == "*" else (which,))
}


def measure_in_time(kind_of_fault: type[RedisFault], operation: str, kind: str, expected: tuple[str, str]) -> Measured:
    """Measure, and again when the machine may have been too busy for the limit, or for the attempts inside it."""
    for _ in range(TRIES):
        cell = measure(kind_of_fault, operation, kind)
        is_late = cell.elapsed_ms > DEADLINE_MS + LATE_MS
        was_expected = (cell.status, f"{cell.calls}/{cell.attempts}") == expected
        if (was_expected and not is_late) or cell.elapsed_ms > DEADLINE_MS + MUCH_TOO_LATE_MS:
            break
    return cell


class RetryTable(unittest.TestCase):
    def test_the_table_has_every_row(self) -> None:
        self.assertEqual(set(ROWS), {(fault.name, operation) for fault in FAULTS for operation in OPERATIONS})

    def hold(self, kind_of_fault: type[RedisFault]) -> None:
        for operation in OPERATIONS:
            status, cells = ROWS[kind_of_fault.name, operation]
            for kind, counts in cells.items():
                expected = "OK" if kind == "reconfigures" else status
                with self.subTest(fault=kind_of_fault.name, operation=operation, callback=kind):
                    cell = measure_in_time(kind_of_fault, operation, kind, (expected, counts))
                    self.assertEqual((cell.status, f"{cell.calls}/{cell.attempts}"), (expected, counts))
                    self.assertLessEqual(cell.elapsed_ms, DEADLINE_MS + LATE_MS)
                    if kind == "blocks" and cell.calls:
                        self.assertGreaterEqual(cell.elapsed_ms, DEADLINE_MS - 1, "it was waited for")


def _every_cell(fault: type[RedisFault]) -> None:
    name = f"test_every_cell_of_{fault.name.replace('-', '_')}"
    setattr(RetryTable, name, lambda self: self.hold(fault))


for _fault in FAULTS:
    _every_cell(_fault)


class Repairing(unittest.TestCase):
    def test_a_callback_that_leads_to_another_server_makes_its_set_succeed_there(self) -> None:
        for kind_of_fault in FAULTS:
            if ROWS[kind_of_fault.name, "set"][0] == "OK":
                continue
            with self.subTest(fault=kind_of_fault.name), under(kind_of_fault) as (fault, cache):
                fault.prepare_remedy()
                asked = []

                def lead_elsewhere(failure: tokencache.Failure) -> Retry:
                    asked.append(failure)
                    cache.configure(fault.remedy(resilience={"deadline_ms": 5000}))
                    return Retry(0)

                cache.on_retry(lead_elsewhere)
                version = cache.set(KEY, NEW)
                self.assertEqual(len(asked), 1)
                self.assertEqual(fault.elsewhere.ask("HGET", "p:key", "data"), NEW)
                cache.clear()
                self.assertEqual(cache.get_entry(KEY).version, version)

    def test_a_callback_that_repairs_the_fault_makes_its_call_succeed(self) -> None:
        # Those that need no new link; for others the next attempt may be due after the deadline.
        kinds = (redis_faults.Replica, redis_faults.Full, redis_faults.Busy, redis_faults.AnotherType)
        for kind_of_fault in kinds:
            with self.subTest(fault=kind_of_fault.name), under(kind_of_fault, deadline_ms=20_000) as (fault, cache):

                def repair(_: tokencache.Failure) -> Retry:
                    fault.repair()
                    return Retry(0)

                cache.on_retry(repair)
                cache.set(KEY, b"repaired")
                cache.clear()
                self.assertEqual(cache.get(KEY), b"repaired")

    def test_a_callback_that_brings_new_credentials_makes_its_call_succeed(self) -> None:
        with under(redis_faults.PasswordChanged, deadline_ms=20_000) as (fault, cache):

            def bring(_: tokencache.Failure) -> Retry:
                cache.configure(redis_faults.document(fault.server.url, {"username": "app", "password": "other"}))
                return Retry(0)

            cache.on_retry(bring)
            cache.set(KEY, b"repaired")
            cache.clear()
            self.assertEqual(cache.get(KEY), b"repaired")


class FailedWrites(unittest.TestCase):
    def test_what_failed_is_not_served_as_if_nothing_had_happened(self) -> None:
        for kind_of_fault in FAULTS:
            if kind_of_fault.comes_first:
                continue
            for operation in ("set", "remove"):
                if ROWS[kind_of_fault.name, operation][0] == "OK":
                    continue
                with self.subTest(fault=kind_of_fault.name, operation=operation):
                    with before(kind_of_fault) as (fault, cache):
                        self.assertIsNotNone(cache.get(KEY))
                        fault.strike(cache)
                        expected = ROWS[kind_of_fault.name, operation][0]
                        self.assertEqual(timed(OPERATIONS[operation], cache)[0], expected)
                        self.assertIsNone(cache.peek(KEY), "L1 is not to be trusted before L2 was asked")


if __name__ == "__main__":
    if "--table" in sys.argv[1:]:
        print_table(FAULTS, KINDS)
    else:
        unittest.main()
