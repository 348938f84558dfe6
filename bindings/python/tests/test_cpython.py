"""What the library makes for CPython: the function that answers from L1, and the inbox of an event loop.

What they answer, what they leave to others, and what they keep alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import importlib
import os
import resource
import select
import sys
import threading
import types
import unittest
import unittest.mock
from typing import Any

import tokencache
from support import CacheTest, shared, wait_until
from tokencache import _native, cpython
from tokencache._native import Status
from tokencache.library import lib
from tokencache.options import set_options


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
            cpython.hit_of(self.cache._handle)
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


class Inboxes(CacheTest):
    """The inbox, as the library makes it."""

    def setUp(self) -> None:
        super().setUp()
        self.shared = self.open_shared()
        self.take, self.descriptor, self.first = cpython.inbox()

    def read(self, key: bytes, user_data: int) -> None:
        self.assertEqual(lib.tc_get_async(self.shared._handle, key, len(key), cpython.done, user_data), Status.OK)

    def answer(self) -> cpython.Answer:
        while True:
            self.assertTrue(select.select([self.descriptor], [], [], 60)[0])
            # It can be read until nothing was there.
            answer = self.take(None)
            if answer:
                return answer

    def taken(self) -> cpython.Answer:
        answer = self.answer()
        self.take(answer[0])
        return answer

    def test_an_answer_is_its_number_and_what_a_callback_would_be_told(self) -> None:
        version = self.shared.set("alice", b"tok\0en")
        self.shared.set("empty", b"")
        self.assertIsNone(self.take(None))
        for number, key, expected in [
            (0, b"alice", (Status.OK, version, b"tok\0en", None)),
            (2**32 - 2, b"bob", (Status.NOT_FOUND, 0, None, None)),
            (4, b"empty", (Status.OK, self.shared.get_entry("empty").version, b"", None)),
        ]:
            for _ in range(2):
                self.read(key, self.first + number)
                self.assertEqual(self.answer(), (number, *expected))
                self.assertIsNone(self.take(number))
                self.assertFalse(select.select([self.descriptor], [], [], 0)[0])
                self.shared.clear()

    def test_an_answer_stays_until_its_number_is_told(self) -> None:
        for number in (2, 4):
            self.read(b"bob", self.first + number)
            self.assertTrue(self.shared.flush(60))
            self.answer()
        for told in (None, 4, 0, -1, 2**32 + 2, 2**64 - 1, 2**80, "2", b"2"):
            answer = self.take(told)
            self.assertEqual(answer and answer[0], 2, told)
            self.assertTrue(select.select([self.descriptor], [], [], 0)[0])
        answer = self.take(2) or self.answer()
        self.assertEqual(answer[0], 4)
        self.assertIsNone(self.take(4))
        self.assertIsNone(self.take(4))

    def test_a_value_that_python_has_no_memory_for_is_a_failure_and_holds_up_nobody(self) -> None:
        python = test_module("_testcapi")

        def taken_without(*allocations: int) -> Any:
            take = self.take
            python.set_nomemory(*allocations)
            try:
                return take(None)
            except MemoryError:
                return MemoryError
            finally:
                python.remove_mem_hooks()

        self.shared.set("alice", bytes(100_000))
        for number in (2, 3):
            self.read(b"alice", self.first + number)
            self.answer()
            answer = taken_without(0, 1)
            self.assertEqual(answer[:4], (number, Status.OUT_OF_MEMORY, 0, None))
            self.assertIn(b"memory", answer[4])
            self.assertIs(taken_without(0), MemoryError)
            # It was told by nobody yet.
            self.assertEqual(self.taken()[:2], (number, Status.OK))

    def test_a_failure_comes_with_its_sentence(self) -> None:
        self.shared.configure(shared(self.database, resilience={"deadline_ms": 300}))
        with self.writes_failing():
            options = ctypes.byref(set_options(expected_version=tokencache.ABSENT))
            status = lib.tc_set_async(self.shared._handle, b"alice", 5, b"token", 5, options, cpython.done, self.first)
            self.assertEqual(status, Status.OK)
            number, status, version, value, message = self.answer()
        self.assertEqual((number, version, value), (0, 0, None))
        self.assertLess(status, 0)
        self.assertIn(b"database", message or b"")

    def test_an_odd_number_is_answered_with_a_capsule_that_holds_the_value(self) -> None:
        self.shared.set("alice", b"token")
        self.read(b"alice", self.first + 7)
        number, _, version, capsule, _ = self.answer()
        self.shared.remove("alice")
        self.shared.close()
        value = ctypes.cast(cpython.address_of(capsule), ctypes.POINTER(_native.Value)).contents
        self.assertEqual((number, ctypes.string_at(value.data, value.len)), (7, b"token"))
        self.assertEqual(value.version, version)

    def test_what_is_for_nobody_is_let_go(self) -> None:
        for user_data in (0, 1, self.first + 2**32, 2**64 - 1):
            self.read(b"bob", user_data)
        gone = cpython.inbox()[1:]
        self.read(b"bob", gone[1])
        self.assertTrue(self.shared.flush(60))
        self.read(b"bob", self.first + 2)
        self.assertEqual(self.answer()[0], 2)
        self.assertIsNone(self.take(2))

    def test_it_keeps_nothing_that_was_taken_or_never_will_be(self) -> None:
        megabyte = 2**20
        self.shared.set("large", bytes(megabyte))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(200):
            self.shared.clear()
            self.read(b"large", self.first + number)
            self.taken()
            # One whose answer comes before its end, and one whose answer comes later.
            take, descriptor, first = cpython.inbox()
            self.read(b"large", first + number)
            self.assertTrue(select.select([descriptor], [], [], 60)[0])
            self.read(b"large", first + number)
            del take
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        self.assertLess(grown * 1024, 100 * megabyte)

    def test_without_a_descriptor_it_says_so(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        with self.assertRaisesRegex(tokencache.OutOfMemory, "descriptor"):
            loop.run_until_complete(self.shared.aget("bob"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.assertIsNone(loop.run_until_complete(asyncio.wait_for(self.shared.aget("bob"), 60)))

    def test_a_forked_child_has_loops_and_answers_of_its_own(self) -> None:
        self.shared.set("alice", b"token")
        self.read(b"alice", self.first)
        process = os.fork()
        if not process:
            is_right = False
            with contextlib.suppress(BaseException):
                self.shared.clear()
                read = asyncio.run(asyncio.wait_for(self.shared.aget("alice"), 60))
                # What the parent waits for is not the child's.
                is_right = (read, self.take(None)) == (b"token", None)
            os._exit(0 if is_right else 1)
        self.assertEqual(os.waitpid(process, 0)[1], 0)
        self.assertEqual(self.answer()[3], b"token")


def test_module(name: str) -> Any:
    """A module of Python's own tests, which not every Python has."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise unittest.SkipTest(f"this Python has no {name}") from None


class Functions(CacheTest):
    """The function of the library that makes them, with what it must refuse."""

    def made(self, python: Any, handle: Any = None) -> int:
        function = ctypes.py_object()
        handle = self.cache._handle if handle is None else handle
        status: int = cpython._python_hit(handle, python and ctypes.byref(python), ctypes.byref(function))
        self.assertFalse(function)
        return status

    def test_half_a_python_another_one_and_none_are_refused(self) -> None:
        self.assertEqual(self.made(None), Status.INVALID_ARGUMENT)
        for member, _ in _native.Python._fields_:
            python = cpython._python()
            setattr(python, member, 0)
            self.assertEqual(self.made(python), Status.INVALID_ARGUMENT, member)
        for size in (8, ctypes.sizeof(_native.Python) + 8, 2**63):
            python = cpython._python()
            python.struct_size = size
            self.assertEqual(self.made(python), Status.INVALID_ARGUMENT, size)
        python = cpython._python()
        python.none += 64
        self.assertEqual(self.made(python), Status.INVALID_ARGUMENT)

    def test_an_inbox_without_places_for_it_is_refused(self) -> None:
        python, room = ctypes.byref(cpython._python()), ctypes.create_string_buffer(64)
        before, places = os.listdir("/proc/self/fd"), [ctypes.addressof(room) + 8 * place for place in range(3)]
        for place in range(3):
            for wrong in (None, places[place] + 1, places[place] + 2):
                arguments = [*places[:place], wrong, *places[place + 1 :]]
                self.assertEqual(cpython._python_inbox(python, *arguments), Status.INVALID_ARGUMENT)
        for wrong in (None, ctypes.byref(cpython._python(), 4)):
            self.assertEqual(cpython._python_inbox(wrong, *places), Status.INVALID_ARGUMENT)
        self.assertEqual(room.raw, bytes(64))
        self.assertEqual(len(os.listdir("/proc/self/fd")), len(before))
        cpython.done(0, None)

    def test_where_python_cannot_be_called_the_library_is_asked(self) -> None:
        python = cpython._python()
        python.none += 64
        with unittest.mock.patch.object(cpython, "_python", return_value=python):
            cache = self.open({"version": 1})
        cache.set("alice", b"token")
        self.assertIsNone(cache._hit("alice"))
        self.assertEqual((cache.get("alice"), cache.peek("alice"), cache.get("bob")), (b"token", b"token", None))
        with unittest.mock.patch.object(cpython, "_python", return_value=python):
            with self.assertRaises(tokencache.InvalidArgument):
                asyncio.run(cache.aget("bob"))

    def test_in_another_python_the_library_is_asked_and_coroutines_say_what_they_need(self) -> None:
        with unittest.mock.patch.object(sys, "implementation", types.SimpleNamespace(name="pypy")):
            cache = self.open({"version": 1})
            cache.set("alice", b"token")
            self.assertEqual((cache._hit("alice"), cache.get("alice")), (None, b"token"))
            with self.assertRaisesRegex(NotImplementedError, "CPython"):
                asyncio.run(cache.aget("bob"))

    def test_a_handle_that_is_not_open_is_refused(self) -> None:
        for handle in (0, 1, 2**63 - 1):
            self.assertEqual(self.made(cpython._python(), ctypes.c_void_p(handle)), Status.INVALID_HANDLE)


if __name__ == "__main__":
    unittest.main()
