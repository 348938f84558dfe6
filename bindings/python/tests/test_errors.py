"""What goes wrong says so: the class, the status and a sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from types import MappingProxyType

import tokencache
from support import CacheTest, shared
from tokencache import errors, library

_SOURCE = Path(tokencache.__file__).parents[1]


class Errors(CacheTest):
    def test_every_status_below_zero_has_its_own_class(self) -> None:
        statuses = [status for status in tokencache.Status if status < 0]
        # Handled inside `get`; nobody else sees it.
        statuses.remove(tokencache.Status.BUFFER_TOO_SMALL)
        classes = {type(errors.error(status, "text")) for status in statuses}
        self.assertEqual(len(classes), len(statuses))
        self.assertNotIn(tokencache.TokencacheError, classes)
        for status in statuses:
            family = {"L2": tokencache.L2Error, "SE": tokencache.SealError}.get(status.name[:2])
            self.assertIsInstance(errors.error(status, "text"), family or tokencache.TokencacheError)

    def test_a_status_of_a_newer_library_is_still_an_error(self) -> None:
        error = errors.error(-77, "Something new.")
        self.assertEqual((error.status, str(error)), (-77, "Something new."))

    def test_a_refused_document_names_the_member(self) -> None:
        with self.assertRaisesRegex(tokencache.InvalidConfig, "capcity_bytes") as raised:
            tokencache.open({"version": 1, "l1": {"capcity_bytes": 1}})
        self.assertEqual(raised.exception.status, tokencache.Status.INVALID_CONFIG)
        for document in ("", "{", b"\xff", "[]", {}):
            with self.assertRaises(tokencache.TokencacheError):
                tokencache.open(document)

    def test_a_document_may_be_a_mapping_a_str_or_bytes(self) -> None:
        frozen = MappingProxyType({"version": 1, "l1": MappingProxyType({"capacity_bytes": 1 << 20})})
        for document in ({"version": 1}, frozen, '{"version": 1}', b'{"version": 1}'):
            self.assertIsNone(self.open(document).get("key"))
        with self.assertRaisesRegex(TypeError, "A configuration document has no set."):
            tokencache.open({"version": 1, "l1": {1}})

    def test_wrong_types_are_type_errors_in_words(self) -> None:
        for key in (None, 5, memoryview(b"key"), ["key"]):
            for call in (self.cache.get, self.cache.peek, self.cache.get_entry, self.cache.remove, self.cache.touch):
                with self.assertRaisesRegex(TypeError, f"A key is str or bytes, not {type(key).__name__}."):
                    call(key)
        with self.assertRaisesRegex(TypeError, "A value is bytes or like it, not str."):
            self.cache.set("key", "text")

    def test_impossible_keys_are_refused_and_a_read_still_works_afterwards(self) -> None:
        self.cache.set("key", b"value")
        for key in ("", "k" * 100_000, "__tokencache:epoch"):
            with self.assertRaises(tokencache.InvalidArgument) as raised:
                self.cache.get(key)
            self.assertTrue(str(raised.exception).endswith("."), str(raised.exception))
        self.assertEqual(self.cache.get("key"), b"value")

    def test_a_value_that_is_too_large_is_refused(self) -> None:
        cache = self.open({"version": 1, "limits": {"max_value_bytes": 10}})
        with self.assertRaises(tokencache.ValueTooLarge):
            cache.set("key", b"x" * 11)

    def test_a_database_that_is_no_database_is_an_l2_error(self) -> None:
        self.database.write_bytes(b"This is not a database. " * 100)
        with self.assertRaises(tokencache.L2Error):
            self.open(shared(self.database, l2={"kind": "sqlite", "path": str(self.database), "require_at_open": True}))


class Lifecycle(CacheTest):
    def test_a_closed_cache_answers_with_an_error_and_closes_again(self) -> None:
        with self.open(L1 := {"version": 1}) as cache:
            cache.set("key", b"value")
        for call in (lambda: cache.get("key"), lambda: cache.set("key", b""), cache.stats, cache.clear):
            with self.assertRaises(tokencache.InvalidHandle):
                call()
        self.assertTrue(cache.close())
        self.assertIn("closed", repr(cache))
        self.assertIsNone(self.open(L1).get("key"))

    def test_a_cache_that_is_forgotten_is_closed(self) -> None:
        cache = tokencache.open(shared(self.database))
        cache.set("key", b"value")
        handle = cache._handle
        del cache
        self.assertLess(library.lib.tc_clear(handle), 0)

    def test_stats_are_a_dict_and_configure_applies(self) -> None:
        self.assertIsInstance(self.cache.stats(), dict)
        self.cache.configure(json.dumps({"version": 1, "limits": {"max_value_bytes": 3}}))
        with self.assertRaises(tokencache.ValueTooLarge):
            self.cache.set("key", b"four")
        with self.assertRaisesRegex(tokencache.InvalidConfig, "kind"):
            self.cache.configure(shared(self.database))
        self.assertTrue(self.cache.flush(0))


class Loading(unittest.TestCase):
    def run_module(self, **environment: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(_SOURCE), **environment}
        command = [sys.executable, "-m", "tokencache"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def test_the_module_says_which_library_it_loaded(self) -> None:
        done = self.run_module(TOKENCACHE_LIBRARY=library.path)
        self.assertEqual(done.stdout, f"tokencache {tokencache.__version__} from {library.path}\n")

    def test_a_library_that_is_not_there_is_one_sentence(self) -> None:
        last = self.run_module(TOKENCACHE_LIBRARY="/nowhere/lib.so").stderr.splitlines()[-1]
        self.assertRegex(last, "^ImportError: TOKENCACHE_LIBRARY is '/nowhere/lib.so', which cannot be loaded: ")

    def test_another_library_is_recognised_by_what_it_lacks(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            other = Path(folder) / "libother.so"
            command = ["cc", "-shared", "-x", "c", os.devnull, "-o", str(other)]
            subprocess.run(command, check=True)
            last = self.run_module(TOKENCACHE_LIBRARY=str(other)).stderr.splitlines()[-1]
        self.assertRegex(last, "^ImportError: .*libother.so has no function tc_")


if __name__ == "__main__":
    unittest.main()
