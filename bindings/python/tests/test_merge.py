"""Sets that are merged with what others have made of the same MSAL token cache."""

from __future__ import annotations

import json
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Optional

import tokencache
from support import CacheTest


def document(*names: str) -> bytes:
    def token(name: str) -> dict[str, str]:
        return {
            "home_account_id": "a.h",
            "environment": "e",
            "client_id": "c",
            "realm": "h",
            "target": f"{name}/read",
            "secret": f"made-up-{name}",
            "cached_at": "1800000000",
            "expires_on": "4070908800",
        }

    return json.dumps({"AccessToken": {name: token(name) for name in names}}, indent=4).encode()


def names(entry: Optional[tokencache.Entry]) -> list[str]:
    assert entry is not None
    found: dict[str, Any] = json.loads(entry.data)
    return sorted(found["AccessToken"])


class Merged(CacheTest):
    def test_what_both_have_changed_is_stored(self) -> None:
        one, other = self.open_shared(), self.open_shared()
        for first, second in ((self.cache, self.cache), (one, other)):
            self.assertEqual(first.set_merged("alice", None, document("a", "b")).data, document("a", "b"))
            base = first.get_entry("alice")
            self.assertEqual(first.set_merged("alice", base, document("a", "b", "c")).data, document("a", "b", "c"))
            stored = second.set_merged("alice", base, document("b", "d"), ttl=60)
            self.assertEqual(names(stored), ["b", "c", "d"])
            self.assertFalse(stored.degraded)
            found = first.get_entry("alice")
            self.assertEqual((found.data, found.version), (stored.data, stored.version))
            self.assertIsNotNone(found.expires_at)

    def test_what_was_removed_meanwhile_is_not_stored_again(self) -> None:
        cache = self.open_shared()
        cache.set_merged("alice", None, document("a"))
        base = cache.get_entry("alice")
        cache.remove("alice")
        self.assertIsNone(cache.set_merged("alice", base, document("a")))
        self.assertIsNone(cache.get("alice"))

    def test_a_base_that_another_thread_releases_meanwhile_is_merged_with(self) -> None:
        one, other = self.open_shared(), self.open_shared()
        one.set("alice", document("a", "b"))
        base = one.get_entry("alice")
        other.set("alice", document("a", "d"))
        with ThreadPoolExecutor(1) as pool:
            with self.writes_failing():
                storing = pool.submit(one.set_merged, "alice", base, document("a", "b", "c"))
                # It waits for the lock by now, or else reads a base that was released before: both are tried.
                time.sleep(0.2)
                one.clear()
                base.release()
                for number in range(50):
                    one.set(f"in its place {number}", b"\xff" * len(document("a", "b")), local_only=True)
            self.assertEqual(names(storing.result(60)), ["a", "c", "d"])

    def test_what_is_no_msal_cache_is_refused(self) -> None:
        with self.assertRaisesRegex(tokencache.InvalidArgument, "not an MSAL token cache"):
            self.cache.set_merged("alice", None, b"hello")
        self.cache.set("alice", b"hello")
        with self.assertRaisesRegex(tokencache.InvalidArgument, "base is not an MSAL token cache"):
            self.cache.set_merged("alice", self.cache.get_entry("alice"), document("a"))
        with self.assertRaises(tokencache.L2Protocol):
            self.cache.set_merged("alice", None, document("a"))

    def test_a_base_that_was_released_is_refused(self) -> None:
        self.cache.set_merged("alice", None, document("a"))
        base = self.cache.get_entry("alice")
        base.release()
        with self.assertRaises(ValueError):
            self.cache.set_merged("alice", base, document("b"))

    def test_what_l2_does_not_take_is_owed_and_merged_later(self) -> None:
        quick = {"resilience": {"deadline_ms": 300, "probe_ms": 50}}
        one, other = self.open_shared(**quick), self.open_shared(**quick)
        one.set_merged("alice", None, document("a"))
        base = one.get_entry("alice")
        other_base = other.get_entry("alice")
        with self.writes_failing():
            stored = one.set_merged("alice", base, document("a", "b"))
            self.assertTrue(stored.degraded)
            self.assertTrue(other.set_merged("alice", other_base, document("a", "c")).degraded)
        self.assertTrue(one.flush(60) and other.flush(60))
        self.assertEqual(names(self.open_shared().get_entry("alice")), ["a", "b", "c"])

    def test_two_who_owe_onto_nothing_lose_nothing(self) -> None:
        quick = {"resilience": {"deadline_ms": 300, "probe_ms": 50}}
        for attempt in range(5):
            key, servers = f"key{attempt}", [self.open_shared(**quick) for _ in range(2)]
            servers[0].set("other", b"value")
            with self.writes_failing():
                for name, server in zip("ab", servers):
                    self.assertTrue(server.set_merged(key, None, document(name)).degraded)
            for server in servers:
                self.assertTrue(server.flush(60))
            self.assertEqual(names(self.open_shared().get_entry(key)), ["a", "b"])
            for server in servers:
                server.close()

    def test_what_came_and_went_while_it_was_owed_stays_away(self) -> None:
        """A replay of what was owed first may be under way, and arrive, while more is owed."""
        quick = {"resilience": {"deadline_ms": 300, "probe_ms": 50}}
        for attempt in range(5):
            key, server = f"key{attempt}", self.open_shared(**quick)
            server.set_merged(key, None, document("a"))
            with self.writes_failing():
                for owed in (("a", "b"), ("a", "b", "c"), ("a", "c")):
                    self.assertTrue(server.set_merged(key, server.get_entry(key), document(*owed)).degraded)
            self.assertTrue(server.flush(60))
            self.assertEqual(names(self.open_shared().get_entry(key)), ["a", "c"])
            server.close()


if __name__ == "__main__":
    unittest.main()
