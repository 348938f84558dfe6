"""What a caller sees of a read that Redis could not confirm."""

from __future__ import annotations

import asyncio
import copy
import pickle
import unittest
from pathlib import Path
from typing import Any

import redis_server
import tokencache
from support import CacheTest, wait_until

#: Of `document`, before every key.
PREFIX = "p:"


class Degraded(CacheTest):
    def setUp(self) -> None:
        redis_server.require()
        super().setUp()
        self.server = redis_server.Server(Path(self.database).parent / "redis")
        self.addCleanup(self.server.kill)

    def open_here(self, **resilience: Any) -> tokencache.Cache:
        cache = self.open(
            {
                "version": 1,
                "l2": {"kind": "redis", "url": self.server.url, "key_prefix": PREFIX},
                "encryption": {"algorithm": "none"},
                "logging": {"to": "none"},
                "resilience": {"deadline_ms": 300, "max_attempts": 1, **resilience},
            }
        )
        self.wait_for(cache, "up")
        return cache

    def wait_for(self, cache: tokencache.Cache, feed: str) -> None:
        wait_until(lambda: cache.stats()["coherence"]["feed"] == feed, seconds=60)

    def read(self, cache: tokencache.Cache, key: str) -> None:
        wait_until(lambda: cache.get(key) is not None and cache.peek(key) is not None, seconds=60)

    def test_an_entry_says_that_it_could_not_be_checked(self) -> None:
        cache = self.open_here()
        cache.set("calm", b"1")
        cache.set("moved", b"1")
        self.read(cache, "calm")
        with cache.get_entry("calm") as entry:
            self.assertEqual((entry.data, entry.degraded), (b"1", False))
        self.server.ask("HSET", f"{PREFIX}moved", "data", "2")
        wait_until(lambda: cache.peek("moved") is None, seconds=60)

        self.server.kill()
        self.wait_for(cache, "down")
        with cache.get_entry("calm") as entry:
            self.assertEqual((entry.data, entry.degraded), (b"1", True))
            self.assertIn("degraded=True", repr(entry))
        self.assertEqual(cache.get("calm"), b"1")
        self.assertIsNone(cache.peek("calm"))
        with self.assertRaises(tokencache.L2Error):
            cache.get("moved")

        self.server.restart()
        self.wait_for(cache, "up")
        wait_until(lambda: cache.flush(1) and cache.get("calm") == b"1", seconds=60)
        self.assertEqual(self.server.ask("HGET", f"{PREFIX}calm", "data"), b"1", "it was written there again")
        cache.set("calm", b"3")
        with cache.get_entry("calm") as entry:
            self.assertEqual((entry.data, entry.degraded), (b"3", False))

    def test_nothing_is_served_unchecked_where_the_document_forbids_it(self) -> None:
        cache = self.open_here(stale_ms=0)
        cache.set("calm", b"1")
        self.read(cache, "calm")
        self.server.kill()
        self.wait_for(cache, "down")
        with self.assertRaises(tokencache.L2Error):
            cache.get_entry("calm")

    def test_a_write_says_whether_it_is_owed(self) -> None:
        cache = self.open_here()
        stored = cache.set("calm", b"1")
        self.assertFalse(stored.owed)
        self.assertTrue(cache.remove("calm"))

        self.server.kill()
        owed = cache.set("calm", b"2")
        self.assertTrue(owed.owed)
        self.assertGreater(owed, stored)
        self.assertEqual((pickle.loads(pickle.dumps(owed)), copy.copy(owed).owed), (owed, True))
        self.assertFalse(cache.remove("calm"))
        self.assertIsNone(cache.get("calm"))
        self.assertTrue(asyncio.run(cache.aset("calm", b"3")).owed)
        self.assertFalse(asyncio.run(cache.aremove("calm")))

        self.server.restart()
        self.assertTrue(cache.flush(60))
        self.assertTrue(cache.remove("calm"))
        self.assertFalse(asyncio.run(cache.aset("calm", b"4")).owed)


if __name__ == "__main__":
    unittest.main()
