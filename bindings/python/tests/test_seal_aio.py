"""The seal under the calls that an event loop awaits: on Redis no thread waits for them, and they end the same way."""

from __future__ import annotations

import asyncio
import unittest
from typing import Any

import redis_server
import tokencache
from sealing import PREFIX, Redis, Sqlite, ring, sealing
from support import CacheTest

TOKEN = b'{"AccessToken": {"secret": "of-the-test"}}'


class Aio(CacheTest):
    def test_what_is_awaited_is_sealed_and_opened_on_sqlite(self) -> None:
        self.play(Sqlite(self.database.parent))

    def test_what_is_awaited_is_sealed_and_opened_on_redis(self) -> None:
        redis_server.require()
        place = Redis(self.database.parent)
        self.addCleanup(place.server.kill)
        self.play(place)

    def machine(self, place: Any, **states: int) -> tokencache.Cache:
        return self.open(
            {
                "version": 1,
                "l1": {"enabled": False},
                "l2": {**place.l2, "key_prefix": PREFIX},
                "encryption": sealing(ring(**states)),
                "resilience": {"deadline_ms": 30_000},
                "logging": {"to": "none"},
            }
        )

    def play(self, place: Any) -> None:
        one, two = self.machine(place, active=1), self.machine(place, active=2, retired=1)
        other, revoked = self.machine(place, active=3), self.machine(place, active=3, revoked=1)

        async def scenario() -> None:
            version = await one.aset("alice", TOKEN, ttl=60)
            self.assertEqual(await asyncio.gather(*(two.aget("alice") for _ in range(20))), [TOKEN] * 20)
            for cache, kind in ((other, tokencache.SealUnknownKey), (revoked, tokencache.SealRevokedKey)):
                for read in asyncio.as_completed([cache.aget("alice") for _ in range(20)]):
                    with self.assertRaises(kind) as raised:
                        await read
                    self.assertIn("README", str(raised.exception))
            await two.aset("alice", TOKEN, expected_version=version)
            with self.assertRaises(tokencache.Conflict):
                await one.aset("alice", b"late", expected_version=version)
            with self.assertRaises(tokencache.SealUnknownKey):
                await one.aget("alice")

        asyncio.run(asyncio.wait_for(scenario(), 60))
        for cache in (one, two, other, revoked):
            cache.close()
        stored = place.bytes(PREFIX + "alice")
        self.assertEqual((stored[:4], len(stored)), (b"\xf6TKC", len(TOKEN) + 128))


if __name__ == "__main__":
    unittest.main()
