"""What a call does when L2 fails, for every fault, operation and kind of retry callback.

With ``--table``, and with ``PYTHONPATH=bindings/python/src``, this program prints what it measures, for a person.
"""

from __future__ import annotations

import sys
import unittest

from faults import FAULTS, DirectoryGone, DiskFull, Fault, Locked, NotADatabase, ReadOnly, TurnedReadOnly
from retry_cell import (
    DEADLINE_MS,
    KEY,
    MORE,
    OPERATIONS,
    RESILIENCE,
    Measured,
    Witness,
    measure,
    print_table,
    require,
    timed,
    under,
)
from support import shared
from tokencache import Retry

# The status, and under each kind of callback how often it is called / how often L2 is tried (of 2 times at most).
#
# A failed attempt is asked about once, the last one included. Without an answer, and nonsense or an exception is none,
# those that may pass (unreachable, busy) are tried again and those that do not (denied, protocol, full) are not; a
# callback may ask for it in any case, and may end either. One that blocks costs the call its deadline. One that
# reconfigures does so for the calls that begin later. Reading needs neither room on the disk nor the right to write.
# However a plain write ends, it is kept and owed to L2 (DEGRADED), unless L2 answers nonsense.
EXPECTED = """
fault            operation  status          no-callback  retry  give-up  nonsense  raises  blocks  reconfigures
locked           get        L2_BUSY         0/2          2/2    1/1      2/2       2/2     1/1     2/2
locked           set        DEGRADED        0/2          2/2    1/1      2/2       2/2     1/1     2/2
locked           remove     DEGRADED        0/2          2/2    1/1      2/2       2/2     1/1     2/2
locked           touch      L2_BUSY         0/2          2/2    1/1      2/2       2/2     1/1     2/2
not-a-database   get        L2_PROTOCOL     0/1          2/2    1/1      1/1       1/1     1/1     2/2
not-a-database   set        L2_PROTOCOL     0/1          2/2    1/1      1/1       1/1     1/1     2/2
not-a-database   remove     L2_PROTOCOL     0/1          2/2    1/1      1/1       1/1     1/1     2/2
not-a-database   touch      L2_PROTOCOL     0/1          2/2    1/1      1/1       1/1     1/1     2/2
directory-gone   get        L2_UNREACHABLE  0/2          2/2    1/1      2/2       2/2     1/1     2/2
directory-gone   set        DEGRADED        0/2          2/2    1/1      2/2       2/2     1/1     2/2
directory-gone   remove     DEGRADED        0/2          2/2    1/1      2/2       2/2     1/1     2/2
directory-gone   touch      L2_UNREACHABLE  0/2          2/2    1/1      2/2       2/2     1/1     2/2
read-only        get        OK              0/1          0/1    0/1      0/1       0/1     0/1     0/1
read-only        set        DEGRADED        0/1          2/2    1/1      1/1       1/1     1/1     2/2
read-only        remove     DEGRADED        0/1          2/2    1/1      1/1       1/1     1/1     2/2
read-only        touch      L2_DENIED       0/1          2/2    1/1      1/1       1/1     1/1     2/2
disk-full        get        OK              0/1          0/1    0/1      0/1       0/1     0/1     0/1
disk-full        set        DEGRADED        0/1          2/2    1/1      1/1       1/1     1/1     2/2
disk-full        remove     DEGRADED        0/1          2/2    1/1      1/1       1/1     1/1     2/2
disk-full        touch      L2_FULL         0/1          2/2    1/1      1/1       1/1     1/1     2/2
"""

LATE_MS = 50
#: What no load on the machine excuses.
MUCH_TOO_LATE_MS = 1000
TRIES = 3

_HEAD, *_LINES = [line.split() for line in EXPECTED.strip().splitlines()]
KINDS = _HEAD[3:]
ROWS = {(fault, operation): (status, dict(zip(KINDS, cells))) for fault, operation, status, *cells in _LINES}


def measure_in_time(kind_of_fault: type[Fault], operation: str, kind: str) -> Measured:
    """Measure, and again when the machine may have been too busy for the limit."""
    for _ in range(TRIES):
        cell = measure(kind_of_fault, operation, kind)
        if not DEADLINE_MS + LATE_MS < cell.elapsed_ms <= DEADLINE_MS + MUCH_TOO_LATE_MS:
            break
    return cell


class RetryTable(unittest.TestCase):
    def hold(self, kind_of_fault: type[Fault]) -> None:
        require(kind_of_fault)
        for operation in OPERATIONS:
            status, cells = ROWS[kind_of_fault.name, operation]
            for kind, counts in cells.items():
                with self.subTest(fault=kind_of_fault.name, operation=operation, callback=kind):
                    cell = measure_in_time(kind_of_fault, operation, kind)
                    self.assertEqual((cell.status, f"{cell.calls}/{cell.attempts}"), (status, counts))
                    self.assertLessEqual(cell.elapsed_ms, DEADLINE_MS + LATE_MS)
                    if kind == "blocks" and cell.calls:
                        self.assertGreaterEqual(cell.elapsed_ms, DEADLINE_MS - 1, "it was waited for")

    def test_the_table_has_every_row(self) -> None:
        self.assertEqual(set(ROWS), {(fault.name, operation) for fault in FAULTS for operation in OPERATIONS})

    def test_every_cell_of_locked(self) -> None:
        self.hold(Locked)

    def test_every_cell_of_not_a_database(self) -> None:
        self.hold(NotADatabase)

    def test_every_cell_of_directory_gone(self) -> None:
        self.hold(DirectoryGone)

    def test_every_cell_of_read_only(self) -> None:
        self.hold(ReadOnly)

    def test_every_cell_of_disk_full(self) -> None:
        self.hold(DiskFull)

    def test_a_file_system_that_turns_read_only_under_an_open_database(self) -> None:
        """The first to write is told of a broken disk, and tries again: that the disk is read-only is told then."""
        require(TurnedReadOnly)
        for operation in OPERATIONS:
            with self.subTest(operation=operation):
                cell = measure_in_time(TurnedReadOnly, operation, "no-callback")
                self.assertEqual(cell.status, ROWS["read-only", operation][0])
                self.assertLessEqual(cell.elapsed_ms, DEADLINE_MS + LATE_MS)


class Reconfiguring(unittest.TestCase):
    def test_the_next_call_follows_the_new_configuration(self) -> None:
        for fault in (NotADatabase, DirectoryGone):
            with self.subTest(fault=fault.name), under(fault) as (it, cache):
                witness = Witness(cache, it)
                witness.watch("reconfigures")
                timed(lambda cache: cache.get(KEY), cache)
                self.assertEqual([failure.max_attempts for failure in witness.failures], [2, 2])
                witness.failures.clear()
                timed(lambda cache: cache.get(KEY), cache)
                self.assertEqual([failure.attempt for failure in witness.failures], [1, 2, 3, 4, 5])
                self.assertGreater(witness.failures[0].remaining, DEADLINE_MS / 1000)

    def test_fewer_attempts_hold_for_the_next_call(self) -> None:
        with under(DirectoryGone, max_attempts=5) as (fault, cache):
            cache.configure(shared(fault.database, resilience={**RESILIENCE, "max_attempts": 1}))
            witness = Witness(cache, fault)
            witness.watch("retry")
            timed(lambda cache: cache.get(KEY), cache)
            self.assertEqual(len(witness.failures), 1)

    def test_a_callback_that_repairs_the_fault_makes_its_call_succeed(self) -> None:
        for kind_of_fault in (Locked, NotADatabase, DirectoryGone):
            self.hold(kind_of_fault)

    def test_a_callback_that_repairs_the_disk_makes_its_call_succeed(self) -> None:
        for kind_of_fault in (ReadOnly, DiskFull):
            require(kind_of_fault)
            self.hold(kind_of_fault)

    def hold(self, kind_of_fault: type[Fault]) -> None:
        with self.subTest(fault=kind_of_fault.name), under(kind_of_fault, **MORE) as (fault, cache):
            asked = []

            def repair(failure: object) -> Retry:
                asked.append(failure)
                fault.repair()
                return Retry(0)

            cache.on_retry(repair)
            version = cache.set(KEY, b"repaired")
            self.assertEqual(len(asked), 1)
            cache.clear()
            self.assertEqual(cache.get(KEY), b"repaired")
            self.assertEqual(cache.get_entry(KEY).version, version)


if __name__ == "__main__":
    if "--table" in sys.argv[1:]:
        print_table(FAULTS, KINDS)
    else:
        unittest.main()
