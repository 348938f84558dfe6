"""The calls that an event loop awaits."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import itertools
import os
import sys
import threading
import unittest
import weakref
from typing import Any

import tokencache
from support import CacheTest, shared
from tokencache import inbox

EVENTS = "anon_inode:[eventfd]"


def kind_of(descriptor: int | str) -> str:
    with contextlib.suppress(FileNotFoundError):
        return os.readlink(f"/proc/self/fd/{descriptor}")
    return ""


def descriptors() -> int:
    """How many there are by which a loop can hear of answers."""
    return sum(kind_of(name) == EVENTS for name in os.listdir("/proc/self/fd"))


class Aio(CacheTest):
    def setUp(self) -> None:
        super().setUp()
        self.shared = self.open_shared()
        self.shared.set("warm", b"")
        gc.collect()  # The loops of earlier tests.
        self.descriptors = descriptors()

    def tearDown(self) -> None:
        gc.collect()
        self.assertEqual(descriptors(), self.descriptors)

    def run_async(self, coroutine: Any) -> Any:
        return asyncio.run(asyncio.wait_for(coroutine, 30))

    def test_set_get_and_remove(self) -> None:
        async def scenario(cache: tokencache.Cache) -> None:
            version = await cache.aset("key", bytearray(b"value"), ttl=60)
            self.assertEqual(await cache.aget("key"), b"value")
            self.assertEqual(cache.get_entry("key").version, version)
            cache.clear()
            self.assertEqual(await cache.aget("key"), b"value" if cache is self.shared else None)
            await cache.aremove("key")
            self.assertIsNone(await cache.aget("key"))

        for cache in (self.cache, self.shared):
            self.run_async(scenario(cache))

    def test_what_l1_holds_is_answered_without_a_turn_of_the_loop(self) -> None:
        self.cache.set("key", b"value")
        with self.assertRaises(StopIteration) as stopped:
            self.cache.aget("key").send(None)
        self.assertEqual(stopped.exception.value, b"value")

    def test_a_read_that_l1_cannot_answer_is_one_miss(self) -> None:
        async def scenario(cache: tokencache.Cache) -> None:
            for read in (cache.aget, cache.aget_entry):
                before = cache.stats()["l1"]["misses"]
                await read("nobody")
                self.assertEqual(cache.stats()["l1"]["misses"] - before, 1)

        for cache in (self.cache, self.shared):
            self.run_async(scenario(cache))

    def test_conflicts_failures_and_refusals_are_raised(self) -> None:
        async def scenario() -> None:
            await self.shared.aset("key", b"value", expected_version=tokencache.ABSENT)
            with self.assertRaises(tokencache.Conflict):
                await self.shared.aset("key", b"value", expected_version=tokencache.ABSENT)
            with self.assertRaises(tokencache.InvalidArgument):
                await self.shared.aset("", b"value")
            with self.assertRaises(TypeError):
                await self.shared.aget(5)
            self.shared.configure(shared(self.database, resilience={"deadline_ms": 200}))
            with self.writes_failing(), self.assertRaises(tokencache.L2Error) as raised:
                await self.shared.aset("other", b"value", expected_version=tokencache.ABSENT)
            self.assertTrue(str(raised.exception))

        self.run_async(scenario())

    def test_many_at_once_are_each_answered_once(self) -> None:
        async def scenario() -> None:
            keys = [f"key{number}" for number in range(300)]
            await asyncio.gather(*(self.shared.aset(key, key.encode()) for key in keys))
            self.shared.clear()
            self.assertEqual(
                await asyncio.gather(*(self.shared.aget(key) for key in keys)), [key.encode() for key in keys]
            )

        self.run_async(scenario())

    def test_a_cancelled_call_leaves_nothing_behind(self) -> None:
        async def scenario() -> None:
            for number in range(100):
                tasks = [asyncio.ensure_future(self.shared.aset(f"key{number}", b"value"))]
                tasks.append(asyncio.ensure_future(self.shared.aget(f"other{number}")))
                await asyncio.sleep(0)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            gc.collect()

        self.run_async(scenario())

    def test_a_write_that_is_cancelled_is_done_whole_or_not_at_all(self) -> None:
        whole = {bytes([number]) * 60_000 for number in range(4)}

        async def scenario() -> None:
            await self.shared.aset("key", bytes([0]) * 60_000)
            for number in range(60):
                task = asyncio.ensure_future(self.shared.aset("key", bytes([number % 4]) * 60_000))
                await asyncio.sleep(number / 40_000)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                self.shared.clear()
                self.assertIn(await self.shared.aget("key"), whole)
            # What comes after those that were given up is not held up by them, and the last word is the last one's.
            version = await self.shared.aset("key", b"last")
            self.assertEqual((await self.shared.aget_entry("key")).version, version)

        self.run_async(scenario())

    def test_an_entry_carries_its_version_from_either_tier(self) -> None:
        async def scenario() -> None:
            version = await self.shared.aset("key", b"value")
            for tier in (tokencache.Tier.L1, tokencache.Tier.L2):
                entry = await self.shared.aget_entry("key")
                self.assertEqual((entry.version, entry.data, entry.tier), (version, b"value", tier))
                self.shared.clear()
            # It is held by nobody else now.
            await self.shared.aremove("key")
            self.assertEqual(entry.data, b"value")
            self.assertIsNone(await self.shared.aget_entry("other"))
            with self.assertRaises(tokencache.InvalidArgument):
                await self.shared.aget_entry("")

        self.run_async(scenario())

    def test_it_makes_no_thread_for_a_call(self) -> None:
        async def scenario() -> set[str]:
            await asyncio.gather(*(self.shared.aset(f"key{number}", b"value") for number in range(200)))
            self.shared.clear()
            await asyncio.gather(*(self.shared.aget(f"key{number}") for number in range(200)))
            return {thread.name for thread in threading.enumerate() if not thread.name.startswith("Dummy")}

        # Those of the library show themselves to Python as dummies, when they come to call back.
        self.assertEqual(self.run_async(scenario()), {threading.current_thread().name})
        self.assertLessEqual(threading.active_count(), 12)

    def test_answers_that_come_together_call_the_loop_once(self) -> None:
        class Counting(asyncio.SelectorEventLoop):
            calls = 0

            def add_reader(self, descriptor: Any, callback: Any, *arguments: Any) -> None:
                def counted() -> None:
                    self.calls += 1
                    callback(*arguments)

                super().add_reader(descriptor, counted)

        async def scenario() -> list[bytes]:
            keys = [f"key{number}".encode() for number in range(64)]
            for key in keys:
                self.shared.set(key, key)
            self.shared.clear()
            reads = [asyncio.ensure_future(self.shared.aget(key)) for key in keys]
            await asyncio.sleep(0)
            # The loop is kept from looking until as good as all have come.
            self.assertTrue(self.shared.flush(30))
            self.assertEqual(await asyncio.gather(*reads), keys)
            self.assertLess(loop.calls, 10)

        loop = Counting()
        with contextlib.closing(loop):
            loop.run_until_complete(asyncio.wait_for(scenario(), 30))

    def test_what_a_signal_handler_raises_keeps_no_answer(self) -> None:
        class Interrupted(asyncio.Future):  # type: ignore[type-arg]
            is_over = False

            def set_result(self, result: Any) -> None:
                if not self.is_over:
                    self.is_over = True
                    raise KeyboardInterrupt
                super().set_result(result)

        class Interrupting(asyncio.SelectorEventLoop):
            def create_future(self) -> Any:
                return Interrupted(loop=self)

        async def scenario() -> list[bytes | None]:
            return await asyncio.gather(*(self.shared.aget(f"key{number}") for number in range(20)))

        with contextlib.closing(Interrupting()) as loop:
            reads = loop.create_task(scenario())
            while not reads.done():
                with contextlib.suppress(KeyboardInterrupt):
                    loop.run_until_complete(reads)
            self.assertEqual(reads.result(), [None] * 20)

    def test_what_signal_handlers_raise_again_and_again_keeps_no_answer(self) -> None:
        ours = (inbox.Inbox._look.__code__, inbox._tell.__code__)

        def raises_at(event: int) -> Any:
            """Raises at one step of the interpreter in our code."""
            events = itertools.count()

            def trace(frame: Any, kind: str, argument: Any) -> Any:
                if frame.f_code not in ours:
                    return None
                # Python 3.9 raises there in the middle of what it does not stop in by itself.
                frame.f_trace_opcodes = sys.version_info >= (3, 10)
                if kind != "return" and next(events) == event:
                    raise KeyboardInterrupt
                return trace

            return trace

        async def scenario() -> list[bytes | None]:
            reads = (self.shared.aget(f"key{number}") for number in range(3))
            return await asyncio.wait_for(asyncio.gather(*reads), 30)

        self.addCleanup(sys.settrace, sys.gettrace())
        interrupted = 0
        with contextlib.closing(asyncio.SelectorEventLoop()) as loop:
            for event in range(1000):
                reads = loop.create_task(scenario())
                # The second as soon as the loop has called us again.
                for number in (event, 0, None):
                    sys.settrace(None if number is None else raises_at(number))
                    with contextlib.suppress(KeyboardInterrupt):
                        self.assertEqual(loop.run_until_complete(reads), [None] * 3)
                        break
                    interrupted += 1
                sys.settrace(None)
                if interrupted < event:
                    break
        self.assertGreater(interrupted, 50)
        self.assertLess(event, 999)

    def test_a_loop_keeps_nothing_of_whoever_called_first(self) -> None:
        class Request:
            pass

        current: contextvars.ContextVar[Request] = contextvars.ContextVar("current")

        async def serve() -> weakref.ref[Request]:
            request = Request()
            current.set(request)
            await self.shared.aget("nobody")
            return weakref.ref(request)

        async def scenario() -> None:
            request = await asyncio.ensure_future(serve())
            await asyncio.sleep(0)
            gc.collect()
            self.assertIsNone(request())

        self.run_async(scenario())

    def test_a_forked_child_may_go_on_with_a_loop_that_it_inherits(self) -> None:
        def read(cache: tokencache.Cache) -> Any:
            return loop.run_until_complete(asyncio.wait_for(cache.aget("key"), 30))

        def serve() -> Any:
            # The lowest number that is free is the one of the inbox, if the fork has closed that.
            while (lowest := os.open(os.devnull, os.O_RDONLY)) < descriptor:
                pass
            os.close(lowest)
            return [read(self.cache), self.shared.clear(), read(self.shared)]

        self.shared.set("key", b"value")
        with contextlib.closing(asyncio.SelectorEventLoop()) as loop:
            self.assertIsNone(read(self.cache))
            (descriptor,) = (fd for fd in loop._selector.get_map() if kind_of(fd) == EVENTS)  # type: ignore[attr-defined]
            process = os.fork()
            if not process:
                answers = []
                with contextlib.suppress(BaseException):
                    answers = serve()
                os._exit(0 if answers == [None, None, b"value"] else 1)
            self.assertEqual(os.waitpid(process, 0)[1], 0)
            self.shared.clear()
            self.assertEqual(read(self.shared), b"value")

    def test_a_loop_that_was_closed_is_not_called(self) -> None:
        async def scenario() -> None:
            calls = [asyncio.ensure_future(self.shared.aset(f"key{number}", b"value")) for number in range(20)]
            self.assertEqual(len(calls), 20)
            await asyncio.sleep(0)

        with self.assertNoLogsOf("tokencache"):
            asyncio.run(scenario())
            self.assertTrue(self.shared.flush(30))

    def test_a_loop_that_was_closed_before_it_took_an_answer_is_freed(self) -> None:
        async def scenario() -> None:
            call = self.shared.aset("key", b"value")
            call.send(None)
            call.close()

        loop = asyncio.new_event_loop()
        loop.run_until_complete(scenario())
        self.assertTrue(self.shared.flush(30))
        loop.close()
        freed = weakref.ref(loop)
        del loop
        gc.collect()
        self.assertIsNone(freed())

    def test_a_retry_callback_may_await_a_call_and_then_close_the_cache(self) -> None:
        cache = self.open_shared(resilience={"deadline_ms": 2_000, "close_ms": 60_000})
        cache.set("held", b"token")
        answers: list[Any] = []

        class Name(str):
            """The library itself is asked, and answers from L1 inside the call."""

        def repair(failure: tokencache.Failure) -> Any:
            answers.append(asyncio.run(cache.aget(Name("held"))))
            answers.append(cache.close())
            return tokencache.GIVE_UP

        cache.on_retry(repair)
        with self.writes_failing(), self.assertRaises(tokencache.TokencacheError):
            cache.set("key", b"value", expected_version=tokencache.ABSENT)
        self.assertEqual(answers, [b"token", True])

    def test_a_closed_cache_is_refused(self) -> None:
        self.shared.close()
        for call in (lambda: self.shared.aget("key"), lambda: self.shared.aremove("key")):
            with self.assertRaises(tokencache.InvalidHandle):
                self.run_async(call())

    def assertNoLogsOf(self, name: str) -> Any:
        """`assertNoLogs` exists since Python 3.10."""
        return _NoLogs(self, name)


class _NoLogs:
    def __init__(self, test: unittest.TestCase, name: str) -> None:
        self._test, self._logs = test, test.assertLogs(name)

    def __enter__(self) -> None:
        self._watcher = self._logs.__enter__()

    def __exit__(self, *error: Any) -> None:
        with self._test.assertRaises(AssertionError):
            self._logs.__exit__(None, None, None)
        self._test.assertEqual(self._watcher.output, [])


if __name__ == "__main__":
    unittest.main()
