"""The seal as Python sees it: by hand, on entries, in errors and statistics, in children, and the ring it is under."""

from __future__ import annotations

import json
import os
import signal
import time
import unittest
from pathlib import Path
from typing import Any, Callable

import tokencache
from sealing import Sqlite, material, name_of, ring, sealing
from support import CacheTest, shared, wait_until
from tokencache import Status

TOKEN = b'{"AccessToken": {"secret": "of-the-test"}}'


class SealTest(CacheTest):
    def machine(self, keyring: dict[str, Any], **members: Any) -> tokencache.Cache:
        """A cache on the shared database whose every read is answered by L2."""
        return self.open_shared(encryption=sealing(keyring, **members), l1={"enabled": False})

    def write_ring(self, keyring: dict[str, Any], mode: int = 0o600) -> Path:
        path = self.database.with_name("ring.json")
        next_one = self.database.with_name("next.json")
        next_one.write_text(json.dumps(keyring))
        next_one.chmod(mode)
        next_one.rename(path)
        return path


class ByHand(SealTest):
    def test_what_machine_1_protects_machine_2_unprotects(self) -> None:
        one, two = (tokencache.open({**_alone(), "encryption": sealing(ring(active=1))}) for _ in range(2))
        for value in (b"", TOKEN, bytes(range(256)) * 30):
            envelope = one.protect("alice", value)
            self.assertEqual((envelope[:4], len(envelope)), (b"\xf6TKC", len(value) + 128))
            self.assertNotIn(b"secret", envelope)
            self.assertEqual(two.unprotect("alice", envelope), value)
            self.assertNotEqual(one.protect("alice", value), envelope)
        self.assertIsNone(one.get("alice"), "nothing was stored")
        one.close()
        two.close()

    def test_an_envelope_by_hand_is_what_a_set_stores(self) -> None:
        with self.machine(ring(active=1)) as cache:
            cache.set("alice", TOKEN)
        envelope = Sqlite(self.database.parent).bytes("alice")
        self.assertEqual(self.machine(ring(active=1)).unprotect("alice", envelope), TOKEN)

    def test_a_cache_without_a_ring_protects_nothing(self) -> None:
        for call in (lambda: self.cache.protect("alice", TOKEN), lambda: self.open_shared().protect("alice", TOKEN)):
            with self.assertRaisesRegex(tokencache.InvalidConfig, "has no key ring; set /encryption/algorithm"):
                call()

    def test_what_was_changed_is_not_unprotected(self) -> None:
        cache = self.machine(ring(active=1))
        envelope = cache.protect("alice", TOKEN)
        for changed in (envelope[:-1], envelope + b"x", envelope[:120] + bytes([envelope[120] ^ 1]) + envelope[121:]):
            with self.assertRaises(tokencache.SealBroken):
                cache.unprotect("alice", changed)
        self.assertEqual(cache.unprotect("alice", envelope), TOKEN)


class Errors(SealTest):
    def test_each_reason_is_a_class_of_its_own_below_seal_error_and_counted(self) -> None:
        cache = self.machine({"version": 1, "keys": ring(active=1)["keys"] + ring(revoked=2)["keys"]})
        envelope = cache.protect("alice", TOKEN)
        other, revoked = (self.machine(ring(active=n)).protect("alice", TOKEN) for n in (3, 2))
        newer = envelope[:4] + b"\x02" + envelope[5:]
        cases: list[tuple[type[tokencache.SealError], str, bytes, str]] = [
            (tokencache.SealUnknownKey, "alice", other, name_of(3)),
            (tokencache.SealRevokedKey, "alice", revoked, name_of(2)),
            (tokencache.SealWrongContext, "bob", envelope, "another cache key"),
            (tokencache.SealBroken, "alice", envelope[:90], "cut short"),
            (tokencache.SealForeign, "alice", TOKEN, "plain JSON"),
            (tokencache.SealUnsupported, "alice", newer, "the format 2"),
        ]
        for kind, key, sealed, words in cases:
            with self.subTest(kind.__name__):
                with self.assertRaisesRegex(tokencache.SealError, words) as raised:
                    cache.unprotect(key, sealed)
                self.assertIs(type(raised.exception), kind)
                name = f"TC_{Status(raised.exception.status).name}"
                self.assertEqual(cache.stats()["encryption"]["refused"][name], 1)
                self.assertNotIn("of-the-test", str(raised.exception))


class Entries(SealTest):
    def test_an_entry_under_a_retired_key_says_so_until_it_is_set_again(self) -> None:
        self.machine(ring(active=1)).set("alice", TOKEN)
        cache = self.machine(ring(active=2, retired=1))
        with cache.get_entry("alice") as entry:
            self.assertEqual((entry.data, entry.retired_key), (TOKEN, True))
            cache.set("alice", entry.data, expected_version=entry.version)
        with cache.get_entry("alice") as entry:
            self.assertEqual((entry.data, entry.retired_key), (TOKEN, False))
        self.assertEqual(cache.stats()["encryption"]["opened_by_retired_keys"], 1)

    def test_the_statistics_name_the_keys_and_show_none(self) -> None:
        keys = [key for state in ("active", "retired", "revoked") for key in _state(state)]
        cache = self.machine({"version": 1, "keys": keys})
        seal = cache.stats()["encryption"]
        self.assertEqual((seal["algorithm"], seal["active"]), ("aes-256-gcm", name_of(1)))
        self.assertEqual((seal["retired"], seal["revoked"]), ([name_of(2)], [name_of(3)]))
        self.assertIsNone(seal["ring_problem"])
        for number in (1, 2, 3):
            self.assertNotIn(material(number), json.dumps(cache.stats()))
        self.assertEqual(self.open_shared().stats()["encryption"], {"algorithm": "none"})


class Ring(SealTest):
    def test_a_ring_of_the_environment_is_read_again_for_an_unknown_key_at_most_every_five_seconds(self) -> None:
        self.machine(ring(active=2)).set("alice", TOKEN)
        variable = "TOKENCACHE_TEST_RING"
        self.addCleanup(os.environ.pop, variable, None)
        os.environ[variable] = json.dumps(ring(active=1))
        encryption = {"algorithm": "aes-256-gcm", "keyring_env": variable}
        cache = self.open_shared(encryption=encryption, l1={"enabled": False})
        begin = time.monotonic()
        with self.assertRaises(tokencache.SealUnknownKey):
            cache.get("alice")
        asked = time.monotonic()
        os.environ[variable] = json.dumps(ring(active=1, retired=2))

        def is_opened() -> bool:
            try:
                return cache.get("alice") == TOKEN
            except tokencache.SealUnknownKey:
                return False

        wait_until(is_opened, seconds=60, pause=0.02)
        self.assertGreaterEqual(time.monotonic() - begin, 5, f"it was asked at {asked - begin}")
        self.assertEqual(cache.stats()["encryption"]["retired"], [name_of(2)])


class Children(SealTest):
    def in_child(self, work: Callable[[], bool]) -> None:
        """Do `work` in a forked child, which says by its exit status whether all was well."""
        child = os.fork()
        if child == 0:
            status = 1
            try:
                signal.alarm(60)
                status = 0 if work() else 2
            finally:
                os._exit(status)
        self.assertEqual(os.waitpid(child, 0)[1], 0)

    def test_a_forked_child_opens_what_its_parent_sealed_under_keys_that_are_locked_there_too(self) -> None:
        cache = self.open_shared(encryption=sealing(ring(active=1)))
        cache.set("parent", TOKEN)
        are_locked = cache.stats()["encryption"]["keys_are_locked"]

        def work() -> bool:
            is_read = cache.get("parent") == TOKEN
            cache.set("child", TOKEN)
            seal = cache.stats()["encryption"]
            return is_read and seal["keys_are_locked"] == are_locked == (_locked_kib() > 0)

        self.in_child(work)
        self.assertEqual(cache.get("child"), TOKEN)
        self.assertEqual(cache.get("parent"), TOKEN)
        self.assertEqual(are_locked, _locked_kib() > 0)

    def test_a_forked_child_follows_the_ring_file(self) -> None:
        path = self.write_ring(ring(active=1))
        encryption = {"algorithm": "aes-256-gcm", "keyring_file": str(path)}
        cache = self.open(shared(self.database, encryption=encryption))
        cache.set("parent", TOKEN)

        def work() -> bool:
            is_read = cache.get("parent") == TOKEN
            self.write_ring(ring(active=2, revoked=1))
            wait_until(lambda: cache.stats()["encryption"]["active"] == name_of(2), seconds=10)
            try:
                cache.get("parent")
            except tokencache.SealRevokedKey:
                return is_read
            return False

        self.in_child(work)


def _alone() -> dict[str, Any]:
    return {"version": 1, "logging": {"to": "none"}}


def _state(state: str) -> list[dict[str, Any]]:
    return ring(**{state: ("active", "retired", "revoked").index(state) + 1})["keys"]


def _locked_kib() -> int:
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmLck:")).split()[1])


if __name__ == "__main__":
    unittest.main()
