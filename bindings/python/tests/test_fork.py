"""Worker processes that begin as a fork, as multiprocessing and preloading servers make them."""

from __future__ import annotations

import multiprocessing
import os
import threading
import unittest

import tokencache
from support import CacheTest, shared

_FORK = multiprocessing.get_context("fork")
_opened: dict[str, tokencache.Cache] = {}


def _serve(number: int) -> tuple[int, bool]:
    cache = _opened["cache"]
    key = f"worker{number}"
    cache.set(key, key.encode())
    return os.getpid(), cache.get(key) == key.encode() and cache.get("parent") == b"from the parent"


class Workers(CacheTest):
    def setUp(self) -> None:
        super().setUp()
        _opened["cache"] = self.shared = self.open_shared(resilience={"deadline_ms": 60_000, "close_ms": 60_000})
        self.addCleanup(_opened.clear)
        self.shared.set("parent", b"from the parent")

    def assert_all_serve(self, pool_tasks: int = 100) -> None:
        with _FORK.Pool(4) as pool:
            answers = pool.map_async(_serve, range(pool_tasks), chunksize=5).get(timeout=120)
        self.assertTrue(all(is_right for _, is_right in answers))
        self.assertNotIn(os.getpid(), {process for process, _ in answers})
        for number in range(pool_tasks):
            self.assertEqual(self.shared.get(f"worker{number}"), f"worker{number}".encode())

    def test_a_pool_uses_the_cache_that_its_parent_opened(self) -> None:
        self.assert_all_serve()

    def test_a_pool_is_made_while_threads_use_the_cache(self) -> None:
        is_over = threading.Event()

        def read() -> None:
            while not is_over.is_set():
                self.shared.get("nobody")

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            self.assert_all_serve()
        finally:
            is_over.set()
            for thread in threads:
                thread.join()

    def test_a_worker_asks_the_retry_callback(self) -> None:
        self.shared.configure(shared(self.database, resilience={"deadline_ms": 300}))
        asked, ask = _FORK.Pipe(duplex=False)
        self.shared.on_retry(lambda failure: ask.send(failure.attempt))
        with self.writes_failing():
            worker = _FORK.Process(target=_fail_to_write)
            worker.start()
            worker.join(60)
        self.assertEqual(worker.exitcode, 0)
        self.assertTrue(asked.poll(0))


def _fail_to_write() -> None:
    try:
        _opened["cache"].set("key", b"value", expected_version=tokencache.ABSENT)
    except tokencache.L2Error:
        return
    raise AssertionError("Another process holds the lock.")


if __name__ == "__main__":
    unittest.main()
