"""Reading, writing, and what an entry says of itself."""

from __future__ import annotations

import copy
import gc
import pickle
import unittest
from datetime import datetime, timedelta, timezone

import tokencache
from support import CacheTest, wait_until


class Entries(CacheTest):
    def test_what_is_set_is_got(self) -> None:
        self.cache.set("alice", b"token")
        self.assertEqual(self.cache.get("alice"), b"token")
        self.assertEqual(self.cache.peek("alice"), b"token")
        self.assertIsNone(self.cache.get("bob"))
        self.assertIsNone(self.cache.peek("bob"))
        self.assertIsNone(self.cache.get_entry("bob"))

    def test_a_key_may_be_any_bytes_and_a_str_is_its_utf_8(self) -> None:
        for number, key in enumerate([b"a\0b", b"a", b"\xff\xfe", "żółw", " "]):
            self.cache.set(key, str(number).encode())
        self.assertEqual(self.cache.get(b"a\0b"), b"0")
        self.assertEqual(self.cache.get("a"), b"1")
        self.assertEqual(self.cache.get(b"\xff\xfe"), b"2")
        self.assertEqual(self.cache.get("żółw".encode()), b"3")

    def test_a_key_is_read_whole_however_long_it_is(self) -> None:
        cache = self.open({"version": 1, "limits": {"max_key_bytes": 65536}})
        for length in (1, 512, 513, 514, 65536):
            key = "k" * length
            cache.set(key, key.encode())
            self.assertEqual(cache.get(key), key.encode())
            self.assertIsNone(cache.get(b"x" + key.encode()[1:]))
        with self.assertRaises(tokencache.InvalidArgument):
            cache.get("k" * 65537)

    def test_a_key_is_str_or_bytes_and_of_a_subclass_too(self) -> None:
        class Name(str):
            pass

        class Number(int):
            def __len__(self) -> int:
                return 3

        self.cache.set("key", b"value")
        self.assertEqual(self.cache.get(Name("key")), b"value")
        for key in (5, Number(5), None, bytearray(b"key"), memoryview(b"key"), ["key"]):
            with self.assertRaises(TypeError):
                self.cache.get(key)

    def test_a_value_may_be_empty_large_or_any_buffer(self) -> None:
        for value in (b"", b"\0", bytearray(b"array"), memoryview(b"-view-")[1:5], bytes(range(256)) * 3000):
            self.cache.set("key", value)
            self.assertEqual(self.cache.get("key"), bytes(value))
            self.assertEqual(self.cache.get("key"), bytes(value))
            self.assertEqual(self.cache.peek("key"), bytes(value))

    def test_removing_clearing_and_touching(self) -> None:
        self.cache.set("key", b"value", sliding=60)
        self.assertTrue(self.cache.touch("key"))
        self.cache.remove("key")
        self.cache.remove("key")
        self.assertFalse(self.cache.touch("key"))
        self.cache.set("key", b"value")
        self.cache.clear()
        self.assertIsNone(self.cache.get("key"))

    def test_an_entry_knows_when_it_was_written_and_when_it_ends(self) -> None:
        end = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(hours=1)
        before = datetime.now(timezone.utc) - timedelta(seconds=1)
        version = self.cache.set("key", b"value", expires_at=end)
        with self.cache.get_entry("key") as entry:
            self.assertEqual((entry.data, entry.version, len(entry)), (b"value", version, 5))
            self.assertEqual((entry.expires_at, entry.tier), (end, tokencache.Tier.L1))
            self.assertTrue(before < entry.written_at < before + timedelta(seconds=60))
            self.assertFalse(entry.degraded or entry.retired_key)
            self.assertNotIn("value", repr(entry))

    def test_an_entry_outlives_its_replacement_and_its_cache(self) -> None:
        self.cache.set("key", b"old")
        entry = self.cache.get_entry("key")
        self.cache.set("key", b"new")
        self.cache.close()
        self.assertEqual(entry.data, b"old")

    def test_the_view_is_read_only_and_a_slice_keeps_the_bytes(self) -> None:
        self.cache.set("key", b"value")
        entry = self.cache.get_entry("key")
        part = entry.view[1:3]
        with self.assertRaises(TypeError):
            part[0] = 0
        entry.release()
        entry.release()
        with self.assertRaises(ValueError):
            _ = entry.data
        del entry
        gc.collect()
        self.cache.remove("key")
        self.assertEqual(bytes(part), b"al")

    def test_an_empty_entry_has_an_empty_view(self) -> None:
        self.cache.set("key", b"")
        self.assertEqual(self.cache.get_entry("key").data, b"")


class Expiry(CacheTest):
    def test_lifetimes_are_seconds_or_timedeltas(self) -> None:
        for ttl in (0.05, timedelta(milliseconds=50)):
            self.cache.set("key", b"value", ttl=ttl)
            wait_until(lambda: self.cache.get("key") is None)

    def test_an_absolute_end_is_a_datetime_or_unix_seconds(self) -> None:
        moment = datetime(2040, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))
        for end in (moment, moment.timestamp()):
            self.cache.set("key", b"value", expires_at=end, ttl=tokencache.NEVER)
            self.assertEqual(self.cache.get_entry("key").expires_at, moment)

    def test_a_moment_that_is_past_removes(self) -> None:
        for end in (datetime(1969, 1, 1, tzinfo=timezone.utc), 0, -5, 1000):
            self.cache.set("key", b"value")
            self.assertEqual(self.cache.set("key", b"value", expires_at=end), 0)
            self.assertIsNone(self.cache.get("key"))

    def test_never_has_no_end(self) -> None:
        self.cache.set("key", b"value", ttl=tokencache.NEVER)
        self.assertIsNone(self.cache.get_entry("key").expires_at)

    def test_a_sliding_entry_ends_when_nobody_reads_it(self) -> None:
        self.cache.set("key", b"value", sliding=0.05)
        # A look renews the entry, so the looks are further apart than the window.
        wait_until(lambda: self.cache.get("key") is None, pause=0.1)

    def test_impossible_times_are_refused_in_words(self) -> None:
        for options, words in [
            ({"ttl": 0}, "ttl must be above zero, not 0"),
            ({"ttl": -1}, "ttl must be above zero, not -1"),
            ({"sliding": timedelta(0)}, "sliding must be above zero"),
            ({"sliding": tokencache.NEVER}, "ttl=NEVER"),
            ({"ttl": float("nan")}, "number of seconds"),
            ({"ttl": float("inf")}, "number of seconds"),
            ({"ttl": "soon"}, "number of seconds"),
            ({"ttl": 1e300}, "too far away"),
            ({"expires_at": datetime(2040, 1, 1)}, "time zone"),
        ]:
            with self.assertRaisesRegex(tokencache.InvalidArgument, words):
                self.cache.set("key", b"value", **options)
        self.assertIsNone(self.cache.get("key"))


class CompareAndSet(CacheTest):
    def test_a_set_over_the_expected_version_is_done_and_over_another_is_a_conflict(self) -> None:
        for cache in (self.cache, self.open_shared()):
            first = cache.set("key", b"1", expected_version=tokencache.ABSENT)
            second = cache.set("key", b"2", expected_version=first)
            for expected in (first, tokencache.ABSENT):
                with self.assertRaises(tokencache.Conflict) as raised:
                    cache.set("key", b"3", expected_version=expected)
                self.assertEqual(raised.exception.status, tokencache.Status.CONFLICT)
            entry = cache.get_entry("key")
            self.assertEqual((entry.data, entry.version), (b"2", second))

    def test_no_version_at_all_is_not_an_expectation(self) -> None:
        for version in (0, -1, 2**64):
            with self.assertRaisesRegex(tokencache.InvalidArgument, "version of no entry"):
                self.cache.set("key", b"value", expected_version=version)


class TwoTiers(CacheTest):
    def test_another_cache_reads_what_one_wrote(self) -> None:
        self.open_shared().set("key", b"value")
        entry = self.open_shared().get_entry("key")
        self.assertEqual((entry.data, entry.tier), (b"value", tokencache.Tier.L2))

    def test_a_local_entry_stays_here(self) -> None:
        here = self.open_shared()
        here.set("key", b"value", local_only=True)
        self.assertEqual(here.get("key"), b"value")
        self.assertIsNone(self.open_shared().get("key"))

    def test_a_write_that_l2_does_not_take_is_kept_and_owed(self) -> None:
        cache = self.open_shared(resilience={"deadline_ms": 100})
        cache.set("gone", b"old")
        with self.writes_failing():
            version = cache.set("key", b"new")
            cache.remove("gone")
            entry = cache.get_entry("key")
            self.assertEqual((entry.data, entry.version, entry.degraded), (b"new", version, True))
            self.assertIsNone(cache.get("gone"))
            self.assertFalse(cache.flush(0))
            self.assertEqual(cache.stats()["journal"]["owed_entries"], 2)
        self.assertTrue(cache.flush(60))
        another = self.open_shared()
        self.assertEqual(another.get("key"), b"new")
        self.assertIsNone(another.get("gone"))


class Copies(CacheTest):
    def test_pickling_and_copying_are_refused_with_what_to_do_instead(self) -> None:
        self.cache.set("key", b"value")
        entry = self.cache.get_entry("key")
        for what, advice in ((self.cache, "configuration document"), (entry, "its `data` can")):
            for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
                with self.assertRaisesRegex(TypeError, advice):
                    attempt(what)
        self.assertEqual(self.cache.get("key"), b"value")

    def test_what_is_a_plain_value_can_be_pickled(self) -> None:
        written = self.cache.set("key", b"value")
        copied = pickle.loads(pickle.dumps(written))
        self.assertEqual((copied, copied.owed), (written, False))
        with self.assertRaises(tokencache.Conflict) as raised:
            self.cache.set("key", b"value", expected_version=tokencache.ABSENT)
        self.assertEqual(str(pickle.loads(pickle.dumps(raised.exception))), str(raised.exception))


if __name__ == "__main__":
    unittest.main()
