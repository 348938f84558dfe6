"""The encryption cases that people met, scene by scene, with the data of tests/seal_scenes.rs, which plays it in C."""

from __future__ import annotations

import base64
import json
import tempfile
import time
import unittest
from pathlib import Path
from typing import Any

import redis_server
import tokencache
from sealing import Certificates, Redis, Sqlite, key_id, scenes
from support import wait_until

_SCRIPT = scenes()


class Scenes(unittest.TestCase):
    certificates: Certificates

    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.certificates = Certificates(Path(folder.name))
        for name in ("old", "new"):
            cls.certificates.make(name)
        cls.certificates.renew("old", "renewed")

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_every_scene_ends_with_its_status_and_its_words_on_sqlite(self) -> None:
        self.play_all(Sqlite(self.folder))

    def test_every_scene_ends_with_its_status_and_its_words_on_redis(self) -> None:
        redis_server.require()
        place = Redis(self.folder)
        self.addCleanup(place.server.kill)
        self.play_all(place)

    def play_all(self, place: Any) -> None:
        self.assertEqual(len(_SCRIPT["scenes"]), 10)
        for scene in _SCRIPT["scenes"]:
            with self.subTest(scene["name"]):
                self.play(scene, place)

    def play(self, scene: dict[str, Any], place: Any) -> None:
        # A prefix of its own keeps the peers of one scene out of the next.
        prefix = f"{scene['name'].replace(' ', '-')}:{_SCRIPT['prefix']}"
        value = _SCRIPT["value"].encode()
        ttl_ms = scene["write"].get("ttl_ms")
        end = 0.0

        def is_prepared() -> bool:
            nonlocal end
            with self.open(scene["write"], prefix, place) as writer:
                writer.set(_SCRIPT["key"], value, ttl=ttl_ms / 1000 if ttl_ms else 3600)
            end = time.time() + (ttl_ms / 1000 if ttl_ms else 0)
            return self.meanwhile(scene.get("meanwhile", {}), prefix, place)

        wait_until(is_prepared, seconds=60)
        wait_until(lambda: time.time() > end + 0.001, seconds=60)
        with self.open(scene["read"], prefix, place) as reader:
            self.assertEqual(self.read(reader, scene), scene["status"])
            for words in scene["stats"]:
                compact = {"separators": (",", ":")}
                wait_until(lambda: words in json.dumps(reader.stats(), **compact), seconds=60)

    def read(self, reader: tokencache.Cache, scene: dict[str, Any]) -> str:
        """The status with which a read ends, whose message has every word of the scene."""
        try:
            value = reader.get(_SCRIPT["key"])
        except tokencache.SealError as refused:
            for words in scene["says"]:
                self.assertIn(words, str(refused))
            self.assertNotIn("of-the-test", str(refused))
            return f"TC_{refused.status.name}"
        if value is None:
            return "TC_NOT_FOUND"
        self.assertEqual(value, _SCRIPT["value"].encode())
        return "TC_OK"

    def meanwhile(self, act: dict[str, Any], prefix: str, place: Any) -> bool:
        """What happens in L2 in between; `False`: the entry was gone before it could."""
        name = prefix + _SCRIPT["key"]
        stored = place.bytes(name)
        if stored is None:
            return False
        if "cut_to" in act:
            place.put(name, stored[: act["cut_to"]])
        if "put" in act:
            place.put(name, base64.b64decode(act["put"]))
        if "set_byte" in act:
            at, byte = act["set_byte"]
            place.put(name, stored[:at] + bytes([byte]) + stored[at + 1 :])
        if "copy_to_prefix" in act:
            place.put(act["copy_to_prefix"] + _SCRIPT["key"], stored)
        if "peer" in act:
            peer = {**act["peer"], "written_at_ms": int(time.time() * 1000)}
            place.put(prefix + "__tokencache:peers", json.dumps({"peers": [peer]}).encode())
        return place.keep(name) if act.get("keep") else True

    def open(self, machine: dict[str, Any], prefix: str, place: Any) -> tokencache.Cache:
        """One machine; one that has no keys does not seal."""
        encryption: dict[str, Any] = {"algorithm": "none"}
        if machine["keys"] is not None:
            keys = [self.key(key) for key in machine["keys"]]
            encryption = {"algorithm": "aes-256-gcm", "keyring": {"version": 1, "keys": keys}}
        if "unwrap_with" in machine:
            encryption["unwrap_key_files"] = [self.certificates.key(name) for name in machine["unwrap_with"]]
        return tokencache.open(
            {
                "version": 1,
                "l2": {**place.l2, "key_prefix": machine.get("key_prefix", prefix)},
                "encryption": encryption,
                "resilience": {"deadline_ms": 30_000},
                "logging": {"to": "none"},
            }
        )

    def key(self, key: dict[str, Any]) -> dict[str, Any]:
        if "wrapped_for" not in key:
            return key
        material = base64.b64decode(key["material"])
        wraps = [self.certificates.wrap(material, name) for name in key["wrapped_for"]]
        return {"id": key_id(material), "state": key["state"], "wrapped": wraps}


if __name__ == "__main__":
    unittest.main()
