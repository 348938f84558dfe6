"""What the tests share: documents, temporary folders, an L2 that fails, waiting for a condition."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import tokencache

L1_ALONE: dict[str, Any] = {"version": 1, "logging": {"to": "none"}}

_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


def shared(path: Path, **members: Any) -> dict[str, Any]:
    """The smallest document with an L2, a deadline that no load of the machine breaks, and what a test adds to it."""
    return {
        "version": 1,
        "l2": {"kind": "sqlite", "path": str(path)},
        "encryption": {"algorithm": "none"},
        "resilience": {"deadline_ms": 30_000},
        "logging": {"to": "none"},
        **members,
    }


def wait_until(condition: Callable[[], bool], seconds: float = 60, pause: float = 0.001) -> None:
    """Wait for a condition; a test that would hang fails instead."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("The condition was not met in time.")
        time.sleep(pause)


class CacheTest(unittest.TestCase):
    """A test with a folder of its own and a cache with L1 alone."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.database = Path(folder.name) / "tokens.db"
        self.cache = self.open(L1_ALONE)

    def open(self, config: Any) -> tokencache.Cache:
        cache = tokencache.open(config)
        self.addCleanup(cache.close)
        return cache

    def open_shared(self, **members: Any) -> tokencache.Cache:
        return self.open(shared(self.database, **members))

    @contextlib.contextmanager
    def writes_failing(self) -> Iterator[None]:
        """While another process holds the database's lock for writing, every write to L2 fails.

        It must be another process: SQLite's locks do not hold between two copies of SQLite in one.
        """
        command = [sys.executable, "-c", _LOCK, str(self.database)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin and process.stdout
            self.assertEqual(process.stdout.readline(), "locked\n")
            try:
                yield
            finally:
                process.stdin.close()
                process.wait()
