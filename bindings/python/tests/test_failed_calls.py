"""What is left when a call failed: nothing old served as fresh, nothing acknowledged lost, nobody else held up."""

from __future__ import annotations

import threading
import unittest
from typing import Any

import tokencache
from faults import DirectoryGone, DiskFull, Fault, Locked, LockedForWriters, NotADatabase, ReadOnly
from retry_cell import KEY, NEW, OLD, OPERATIONS, before, require, under
from tokencache import GIVE_UP, Cache, Failure


class OwedWrites(unittest.TestCase):
    def hold(self, kind_of_fault: type[Fault]) -> None:
        require(kind_of_fault)
        for operation, result in (("set", NEW), ("remove", None)):
            write = OPERATIONS[operation]
            with self.subTest(operation=operation), before(kind_of_fault) as (fault, cache):
                self.assertEqual(cache.get(KEY), OLD)
                fault.inject()
                write(cache)
                self.assertIsNone(cache.peek(KEY), "L1 is not to be trusted before L2 was asked")
                self.assertEqual(cache.get(KEY), result, "what is owed answers, whatever L2 has")
                cache.clear()
                self.assertEqual(cache.get(KEY), result, "also without L1")
                self.assertFalse(cache.flush(0))
                fault.repair()
                self.assertTrue(cache.flush(60))
                cache.clear()
                self.assertEqual(cache.get(KEY), result)

    def test_locked_for_writers(self) -> None:
        self.hold(LockedForWriters)

    def test_directory_gone(self) -> None:
        self.hold(DirectoryGone)

    def test_read_only(self) -> None:
        self.hold(ReadOnly)

    def test_disk_full(self) -> None:
        self.hold(DiskFull)


class FailedWrites(unittest.TestCase):
    def hold(self, kind_of_fault: type[Fault]) -> None:
        require(kind_of_fault)
        for operation, result in (("set", NEW), ("remove", None)):
            write = OPERATIONS[operation]
            with self.subTest(operation=operation), before(kind_of_fault) as (fault, cache):
                self.assertEqual(cache.get(KEY), OLD)
                self.assertEqual(cache.peek(KEY), OLD)
                fault.inject()
                with self.assertRaises(tokencache.L2Error):
                    write(cache)
                self.assertIsNone(cache.peek(KEY), "L1 is not to be trusted before L2 was asked")
                self.assert_tells_the_truth(cache)
                fault.repair()
                self.assertEqual(cache.get(KEY), OLD, "what was acknowledged is there, and what failed is not")
                write(cache)
                cache.clear()
                self.assertEqual(cache.get(KEY), result)

    def assert_tells_the_truth(self, cache: Cache) -> None:
        """L2's entry or L2's failure, never that there is none."""
        try:
            entry = cache.get_entry(KEY)
        except tokencache.L2Error:
            return
        assert entry is not None
        self.assertEqual((entry.data, entry.tier), (OLD, tokencache.Tier.L2))

    def test_not_a_database(self) -> None:
        self.hold(NotADatabase)


class ReadsThatFindNothing(unittest.TestCase):
    def test_while_l2_fails_it_is_the_failure_of_l2(self) -> None:
        for fault in (Locked, NotADatabase, DirectoryGone):
            with self.subTest(fault=fault.name), under(fault) as (_, cache), self.assertRaises(tokencache.L2Error):
                cache.get("absent")

    def test_where_l2_can_be_read_there_is_none(self) -> None:
        for fault in (LockedForWriters, ReadOnly, DiskFull):
            require(fault)
            with self.subTest(fault=fault.name), under(fault) as (_, cache):
                self.assertIsNone(cache.get("absent"))


class OtherKeys(unittest.TestCase):
    def test_they_go_on_while_a_callback_blocks(self) -> None:
        asked, released = threading.Event(), threading.Event()
        errors: list[tokencache.L2Error] = []

        def callback(failure: Failure) -> Any:
            if failure.key == b"blocked":
                asked.set()
                released.wait()
            return GIVE_UP

        def read() -> None:
            try:
                cache.get("blocked")
            except tokencache.L2Error as error:
                errors.append(error)

        with before(DirectoryGone, deadline_ms=60_000) as (fault, cache):
            cache.set("near", b"in L1")
            cache.on_retry(callback)
            fault.inject()
            reader = threading.Thread(target=read)
            reader.start()
            try:
                self.assertTrue(asked.wait(60))
                self.assertEqual(cache.get("near"), b"in L1")
                with self.assertRaises(tokencache.L2Unreachable):
                    cache.get("another")
                fault.repair()
                self.assertEqual(cache.get(KEY), OLD, "from L2")
                self.assertGreater(cache.set("another", NEW), 0)
                self.assertEqual(errors, [], "the blocked call has not ended")
            finally:
                released.set()
                reader.join(60)
            self.assertEqual([type(error) for error in errors], [tokencache.L2Unreachable])


if __name__ == "__main__":
    unittest.main()
