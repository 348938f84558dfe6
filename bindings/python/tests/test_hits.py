"""The function of CPython that answers from L1: what it answers, what it leaves to others, and what it keeps alive."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import unittest
import unittest.mock
from typing import Any

import tokencache
from support import CacheTest, wait_until
from tokencache import _native, hits
from tokencache._native import Status


@unittest.skipUnless(sys.implementation.name == "cpython", "other Pythons ask the library")
class Hits(CacheTest):
    def setUp(self) -> None:
        super().setUp()
        self.hit: Any = self.cache._hit

    def test_what_l1_holds_is_answered_by_a_function_of_cpython(self) -> None:
        for key, value in {"alice": b"token", "żółw": b"", b"\xff\0": bytes(range(256)) * 300}.items():
            self.assertIsNone(self.hit(key))
            self.cache.set(key, value)
            self.assertEqual(self.hit(key), value)
        self.assertEqual(self.hit("żółw".encode()), b"")
        self.assertEqual(type(self.hit), type(len))

    def test_what_is_no_key_or_no_hit_is_left_to_others_and_nothing_is_raised(self) -> None:
        class Name(str):
            pass

        self.cache.set("alice", b"token")
        no_keys = ["", b"", "\ud800", "k" * 65537, "__tokencache:epoch", 5, None, bytearray(b"alice")]
        for key in ["bob", Name("alice"), *no_keys]:
            self.assertIsNone(self.hit(key))
        self.assertEqual(self.cache.get(Name("alice")), b"token")
        with self.assertRaises(UnicodeEncodeError):
            self.cache.get("\ud800")
        with self.assertRaises(TypeError):
            self.hit()

    def test_what_was_removed_replaced_or_has_ended_is_not_answered(self) -> None:
        self.cache.set("alice", b"token")
        self.cache.set("alice", b"newer")
        self.assertEqual(self.hit("alice"), b"newer")
        self.cache.remove("alice")
        self.assertIsNone(self.hit("alice"))
        self.cache.set("alice", b"short", ttl=0.05)
        wait_until(lambda: self.hit("alice") is None)

    def test_it_outlives_its_cache_and_answers_nothing_then(self) -> None:
        cache = self.open({"version": 1})
        cache.set("alice", b"token")
        hit: Any = cache._hit
        self.assertEqual(hit("alice"), b"token")
        cache.close()
        others = [self.open({"version": 1}) for _ in range(8)]
        for other in others:
            other.set("alice", b"another's")
        self.assertIsNone(hit("alice"))
        with self.assertRaises(tokencache.InvalidHandle):
            cache.get("alice")
        del cache
        gc.collect()
        self.assertIsNone(hit("alice"))

    def test_it_keeps_no_reference_to_what_passes_through_it(self) -> None:
        self.cache.set("alice", b"token" * 1000)
        objects = [None, str, bytes, int, "alice" + str(id(self)), b"bob" * 3]
        held = sys.getallocatedblocks()
        counts = [sys.getrefcount(object) for object in objects]
        for _ in range(10_000):
            for key in ("alice", b"alice", 10**6, *objects[4:]):
                self.hit(key)
        for object, count in zip(objects, counts):
            self.assertLess(abs(sys.getrefcount(object) - count), 100, type(object))
        self.assertLess(sys.getallocatedblocks() - held, 1000)

    def test_it_goes_with_its_cache(self) -> None:
        held = sys.getallocatedblocks()
        for _ in range(1000):
            hits.hit_of(self.cache._handle)
        self.assertLess(sys.getallocatedblocks() - held, 500)

    def test_what_others_have_told_ctypes_of_the_functions_of_cpython_is_theirs(self) -> None:
        theirs = ctypes.pythonapi.Py_DecRef
        self.addCleanup(setattr, theirs, "argtypes", theirs.argtypes)
        theirs.argtypes = [ctypes.c_void_p]
        hit: Any = self.open({"version": 1})._hit
        self.assertIsNone(hit("alice"))
        self.assertEqual(theirs.argtypes, [ctypes.c_void_p])

    def test_threads_read_only_whole_values_that_were_written(self) -> None:
        values = [bytes([number]) * (500 + 1000 * number) for number in range(8)]
        self.cache.set("alice", values[0])
        is_over, wrong, seen = threading.Event(), [], set()

        def read() -> None:
            while not is_over.is_set():
                for found in (self.hit("alice"), self.cache.get("alice")):
                    if found is not None and found not in values:
                        wrong.append(len(found))
                    seen.add(found)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        while len(seen - {None}) < len(values):
            for value in values:
                self.cache.set("alice", value)
        is_over.set()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])


class Functions(CacheTest):
    """The function of the library that makes them, with what it must refuse."""

    def made(self, python: Any, handle: Any = None) -> int:
        function = ctypes.py_object()
        handle = self.cache._handle if handle is None else handle
        status: int = hits._python_hit(handle, python and ctypes.byref(python), ctypes.byref(function))
        self.assertFalse(function)
        return status

    def test_half_a_python_another_one_and_none_are_refused(self) -> None:
        self.assertEqual(self.made(None), Status.INVALID_ARGUMENT)
        for member, _ in _native.Python._fields_:
            python = hits._python()
            setattr(python, member, 0)
            self.assertEqual(self.made(python), Status.INVALID_ARGUMENT, member)
        for size in (8, ctypes.sizeof(_native.Python) + 8, 2**63):
            python = hits._python()
            python.struct_size = size
            self.assertEqual(self.made(python), Status.INVALID_ARGUMENT, size)
        python = hits._python()
        python.none += 64
        self.assertEqual(self.made(python), Status.INVALID_ARGUMENT)

    def test_where_python_cannot_be_called_the_library_is_asked(self) -> None:
        python = hits._python()
        python.none += 64
        with unittest.mock.patch.object(hits, "_python", return_value=python):
            cache = self.open({"version": 1})
        cache.set("alice", b"token")
        self.assertIsNone(cache._hit("alice"))
        self.assertEqual((cache.get("alice"), cache.peek("alice"), cache.get("bob")), (b"token", b"token", None))

    def test_a_handle_that_is_not_open_is_refused(self) -> None:
        for handle in (0, 1, 2**63 - 1):
            self.assertEqual(self.made(hits._python(), ctypes.c_void_p(handle)), Status.INVALID_HANDLE)


if __name__ == "__main__":
    unittest.main()
