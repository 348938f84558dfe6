"""Threads, forks, signals, and the end of the interpreter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path
from typing import Any, Callable

import tokencache
from support import CacheTest, shared
from tokencache import library

_SOURCE = Path(tokencache.__file__).parents[1]


class Threads(CacheTest):
    def test_every_thread_reads_its_own_token(self) -> None:
        for number in range(8):
            self.cache.set(f"key{number}", bytes([number]) * (1000 + 3000 * number))
        wrong = []

        def read(number: int) -> None:
            expected = bytes([number]) * (1000 + 3000 * number)
            for _ in range(3000):
                if self.cache.get(f"key{number}") != expected:
                    wrong.append(number)

        threads = [threading.Thread(target=read, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_a_signal_handler_that_reads_does_not_disturb_the_read_it_interrupts(self) -> None:
        self.cache.set("main", b"m" * 5000)
        self.cache.set("handler", b"h" * 6000)
        read = []
        previous = signal.signal(signal.SIGALRM, lambda *_: read.append(self.cache.get("handler")))
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        try:
            while len(read) < 200:
                self.assertEqual(self.cache.get("main"), b"m" * 5000)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
        self.assertEqual(set(read), {b"h" * 6000})

    def test_closing_while_others_read_is_an_error_and_no_crash(self) -> None:
        cache = tokencache.open({"version": 1})
        cache.set("key", b"value")
        started = threading.Barrier(5)

        def read() -> None:
            started.wait()
            try:
                while True:
                    cache.get("key")
            except (tokencache.InvalidHandle, tokencache.Closed):
                pass

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        started.wait()
        cache.close()
        for thread in threads:
            thread.join(60)
            self.assertFalse(thread.is_alive())


class Processes(CacheTest):
    def in_child(self, work: Callable[[], bool]) -> None:
        """Do `work` in a forked child, which says by its exit status whether all was well."""
        child = os.fork()
        if child == 0:
            status = 1
            try:
                signal.alarm(30)
                status = 0 if work() else 2
            finally:
                os._exit(status)
        self.assertEqual(os.waitpid(child, 0)[1], 0)

    def test_a_forked_child_goes_on_using_the_handle(self) -> None:
        cache = self.open_shared()
        cache.set("parent", b"from the parent")
        for number in range(5):
            key = f"child{number}"

            def work() -> bool:
                seen = cache.get("parent") == b"from the parent"
                cache.set(key, b"from the child")
                return seen and cache.get(key) == b"from the child" and cache.close()

            self.in_child(work)
            self.assertEqual(cache.get(key), b"from the child")
        cache.set("parent", b"still here")
        self.assertEqual(cache.get("parent"), b"still here")

    def test_a_forked_child_starts_with_an_empty_l1(self) -> None:
        self.cache.set("key", b"value")
        self.in_child(lambda: self.cache.get("key") is None and self.cache.set("key", b"x") > 0)
        self.assertEqual(self.cache.get("key"), b"value")

    def test_an_interpreter_that_ends_without_closing_ends_well(self) -> None:
        program = (
            "import tokencache\n"
            "cache = tokencache.open({'version': 1})\n"
            "cache.on_retry(lambda failure: None)\n"
            "cache.on_log(lambda *record: None)\n"
            "cache.set('key', b'value')\n"
            "entry = cache.get_entry('key')\n"
        )
        self.ends_well(program)

    def test_what_is_owed_when_an_interpreter_ends_without_closing_is_brought_to_l2(self) -> None:
        shared_cache = self.open_shared()
        shared_cache.set("before", b"value")
        document = shared(self.database, resilience={"deadline_ms": 100, "close_ms": 60_000})
        program = (
            "import tokencache\n"
            f"cache = tokencache.open({document!r})\n"
            "print(cache.set('key', b'value').owed, flush=True)\n"
        )
        with self.writes_failing():
            process = self.interpreter(program)
            self.assertEqual(process.stdout.readline(), "True\n")
            time.sleep(0.5)  # One that waits for nobody would have ended.
        self.assertEqual((process.communicate(timeout=60), process.returncode), (("", ""), 0))
        self.assertEqual(shared_cache.get("key"), b"value")

    def test_an_interpreter_ends_well_while_more_is_logged_than_its_callback_has_time_for(self) -> None:
        document = {
            "version": 1,
            "l2": {"kind": "redis", "url": "redis://127.0.0.1:1"},
            "encryption": {"algorithm": "none"},
            "resilience": {"circuit_failures": 0, "close_ms": 0},
        }
        self.ends_well(
            "import time, tokencache\n"
            f"cache = tokencache.open({document!r})\n"
            "cache.on_log(lambda *record: [time.sleep(0.001) for _ in range(100)])\n"
            "for _ in range(100):\n"
            "    try: cache.get('key')\n"
            "    except tokencache.L2Error: pass\n"
        )

    def ends_well(self, program: str) -> None:
        process = self.interpreter(program)
        _, errors = process.communicate(timeout=60)
        self.assertEqual((process.returncode, errors), (0, ""))

    def interpreter(self, program: str) -> Any:
        environment = {**os.environ, "PYTHONPATH": str(_SOURCE), "TOKENCACHE_LIBRARY": library.path}
        pipe = subprocess.PIPE
        return subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=pipe, stderr=pipe, text=True)


if __name__ == "__main__":
    unittest.main()
