"""The retry and log callbacks: what they are told, what they may answer, and that they do not leak."""

from __future__ import annotations

import gc
import logging
import threading
import time
import unittest
import weakref
from typing import Any

import tokencache
from support import CacheTest, shared, wait_until
from tokencache import GIVE_UP, Failure, Level, Retry, callbacks

_RESILIENCE = {"deadline_ms": 400, "max_attempts": 2, "backoff_ms": 1, "circuit_failures": 0}


class RetryCallback(CacheTest):
    def setUp(self) -> None:
        super().setUp()
        self.shared = self.open_shared(resilience=_RESILIENCE)
        self.shared.set("other", b"value")
        self.failures: list[Failure] = []

    def fail_with(self, answer: Any, asked: int = 2) -> tokencache.L2Error:
        """Fail one write, answering every question with `answer`; an exception is raised instead.

        The last attempt ends with the caller's deadline, so the caller may be gone before the last question is asked.
        """

        def callback(failure: Failure) -> Any:
            self.failures.append(failure)
            if isinstance(answer, BaseException):
                raise answer
            return answer

        self.shared.on_retry(callback)
        for _ in range(5):
            self.failures.clear()
            with self.writes_failing(), self.assertRaises(tokencache.L2Error) as raised:
                self.shared.set(b"k\0ey", b"value", expected_version=tokencache.ABSENT)
            try:
                wait_until(lambda: len(self.failures) >= asked, seconds=5)
                break
            except AssertionError:
                # On a loaded machine the first attempt may have taken the whole deadline: once more.
                continue
        self.assertEqual(len(self.failures), asked, answer)
        return raised.exception

    def test_it_is_told_of_every_attempt(self) -> None:
        error = self.fail_with(None)
        self.assertEqual([failure.attempt for failure in self.failures], [1, 2])
        for failure in self.failures:
            self.assertEqual((failure.operation, failure.key), (tokencache.Operation.SET, b"k\0ey"))
            self.assertNotIn("ey'", repr(failure))
            self.assertEqual(failure.max_attempts, 2)
            self.assertIn(failure.status, (tokencache.Status.L2_BUSY, tokencache.Status.L2_TIMEOUT))
            self.assertGreaterEqual(failure.elapsed, 0)
            self.assertLessEqual(failure.remaining, 0.4)
            self.assertTrue(failure.message)
        self.assertTrue(str(error))

    def test_giving_up_ends_the_call_after_the_first_attempt(self) -> None:
        for answer in (GIVE_UP, False, tokencache.Decision.GIVE_UP):
            self.fail_with(answer, asked=1)

    def test_retrying_tries_again_as_often_as_the_configuration_allows(self) -> None:
        for answer in (Retry(0), Retry(), Retry(0.001), True, tokencache.Decision.RETRY):
            self.fail_with(answer)

    def test_an_exception_is_logged_and_the_configuration_decides(self) -> None:
        for answer in (RuntimeError("boom"), SystemExit(3)):
            with self.assertLogs("tokencache", "ERROR") as logs:
                self.fail_with(answer)
                wait_until(lambda: bool(logs.output))
            self.assertIn("The retry callback raised", logs.output[0])

    def test_nonsense_is_logged_and_the_configuration_decides(self) -> None:
        for answer in ("yes", 2, 0.5, Retry("soon"), object()):
            with self.assertLogs("tokencache", "ERROR") as logs:
                self.fail_with(answer)
                wait_until(lambda: bool(logs.output))

    def test_none_goes_back_to_the_configuration(self) -> None:
        self.fail_with(GIVE_UP, asked=1)
        self.failures.clear()
        self.shared.on_retry(None)
        with self.writes_failing(), self.assertRaises(tokencache.L2Error):
            self.shared.set("key", b"value", expected_version=tokencache.ABSENT)
        self.assertEqual(self.failures, [])

    def test_it_may_use_and_configure_the_cache_it_belongs_to(self) -> None:
        seen = []

        def repair(failure: Failure) -> Any:
            self.shared.configure(shared(self.database, resilience={**_RESILIENCE, "backoff_ms": 2}))
            seen.append(self.shared.get("other"))
            return GIVE_UP

        self.shared.on_retry(repair)
        with self.writes_failing(), self.assertRaises(tokencache.L2Error):
            self.shared.set("key", b"value", expected_version=tokencache.ABSENT)
        self.assertEqual(seen, [b"value"])

    def test_it_may_close_the_cache(self) -> None:
        self.shared.on_retry(lambda failure: self.shared.close() and None)
        with self.writes_failing(), self.assertRaises(tokencache.TokencacheError):
            self.shared.set("key", b"value", expected_version=tokencache.ABSENT)
        with self.assertRaises(tokencache.InvalidHandle):
            self.shared.get("key")

    def test_what_cannot_be_called_is_refused(self) -> None:
        with self.assertRaisesRegex(TypeError, "must be callable"):
            self.shared.on_retry("callback")


class LogCallback(CacheTest):
    def test_records_reach_a_function_until_it_is_taken_back(self) -> None:
        records: list[tuple[Level, str, str]] = []
        cache = self.open_shared(resilience=_RESILIENCE)
        cache.set("other", b"value")
        cache.on_log(lambda *record: records.append(record), Level.DEBUG)
        with self.writes_failing(), self.assertRaises(tokencache.L2Error):
            cache.set("key", b"value", expected_version=tokencache.ABSENT)
        wait_until(lambda: bool(records))
        level, target, message = records[0]
        self.assertIsInstance(level, Level)
        self.assertTrue(target and message)
        cache.on_log(None)

    def test_a_level_hands_records_to_logging(self) -> None:
        cache = self.open_shared(resilience=_RESILIENCE)
        cache.set("other", b"value")
        cache.on_log(Level.DEBUG)
        with self.assertLogs("tokencache", logging.DEBUG) as logs:
            with self.writes_failing(), self.assertRaises(tokencache.L2Error):
                cache.set("key", b"value", expected_version=tokencache.ABSENT)
            wait_until(lambda: bool(logs.output))
        record = logs.records[0]
        self.assertRegex(record.name, r"^tokencache\.\w+$")
        self.assertIn(record.levelno, (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG))
        self.assertTrue(record.getMessage())

    def test_a_function_that_raises_does_no_harm(self) -> None:
        cache = self.open_shared(resilience=_RESILIENCE)
        cache.set("other", b"value")
        raised = threading.Event()

        def callback(*_: Any) -> None:
            raised.set()
            raise ValueError("boom")

        with self.assertLogs("tokencache", "ERROR"):
            cache.on_log(callback, Level.DEBUG)
            with self.writes_failing(), self.assertRaises(tokencache.L2Error):
                cache.set("key", b"value", expected_version=tokencache.ABSENT)
            self.assertTrue(raised.wait(60))
            cache.on_log(None)
        self.assertEqual(cache.get("other"), b"value")


class Lifetimes(CacheTest):
    def test_a_replaced_callback_is_let_go(self) -> None:
        class Callback:
            def __call__(self, *_: Any) -> None: ...

        kept = len(callbacks._callables)
        for _ in range(200):
            callback = Callback()
            gone = weakref.ref(callback)
            self.cache.on_retry(callback)
            self.cache.on_log(callback)
            del callback
            gc.collect(0)
            self.assertIsNotNone(gone())
        self.cache.on_retry(None)
        self.cache.on_log(None)
        wait_until(lambda: gc.collect(0) >= 0 and gone() is None)
        wait_until(lambda: len(callbacks._callables) == kept)

    def test_closing_lets_go_of_callbacks(self) -> None:
        kept = len(callbacks._callables)
        for _ in range(20):
            with tokencache.open({"version": 1}) as cache:
                cache.on_retry(lambda failure: GIVE_UP)
                cache.on_log(lambda *record: None)
        wait_until(lambda: len(callbacks._callables) == kept)

    def test_callbacks_survive_a_busy_collector(self) -> None:
        cache = self.open_shared(resilience={**_RESILIENCE, "deadline_ms": 20, "max_attempts": 10})
        cache.set("other", b"value")
        asked = []
        end = time.monotonic() + 1

        def churn() -> None:
            while time.monotonic() < end:
                cache.on_retry(lambda failure: asked.append(failure.key) or Retry(0))
                cache.on_log(lambda *record: asked.append(record), Level.DEBUG)
                gc.collect()

        def write(number: int) -> None:
            while time.monotonic() < end:
                try:
                    cache.set(f"key{number}", b"value", expected_version=tokencache.ABSENT)
                except tokencache.TokencacheError:
                    pass

        threads = [threading.Thread(target=churn)]
        threads += [threading.Thread(target=write, args=(number,)) for number in range(3)]
        with self.writes_failing():
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertTrue(asked)


if __name__ == "__main__":
    unittest.main()
