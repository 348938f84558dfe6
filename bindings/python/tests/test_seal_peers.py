"""Two processes on one L2 whose rings differ: each is told before a user meets it, and no more after the repair."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

import redis_server
import tokencache
from sealing import Redis, Sqlite, name_of, ring, sealing
from support import wait_until
from tokencache import library

_SOURCE = Path(tokencache.__file__).parents[1]
_GENEROUS = 60

#: Answers each document that it is given with its statistics, having applied it; an empty line asks for them alone.
_PROCESS = """
import json, sys, tokencache
cache = tokencache.open(sys.argv[1])
print("open", flush=True)
for line in sys.stdin:
    if line.strip():
        cache.configure(line.strip())
    print(json.dumps(cache.stats()["encryption"]["peers"]), flush=True)
cache.close()
"""


class Process:
    """A process with a cache, whose log is its standard error."""

    def __init__(self, folder: Path, place: Any, name: str, keyring: dict[str, Any]) -> None:
        self.place, self.name = place, name
        self.log = folder / f"{name}.log"
        environment = {**os.environ, "PYTHONPATH": str(_SOURCE), "TOKENCACHE_LIBRARY": library.path}
        command = [sys.executable, "-c", _PROCESS, self.document(keyring)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdin and self.process.stdout
        assert self.process.stdout.readline() == "open\n", self.log.read_text()

    def document(self, keyring: dict[str, Any]) -> str:
        members = {"l2": self.place.l2, "encryption": sealing(keyring), "resilience": {"deadline_ms": 30_000}}
        return json.dumps({"version": 1, "name": self.name, "logging": {"to": "stderr", "level": "warn"}, **members})

    def peers(self, keyring: dict[str, Any] | None = None) -> dict[str, Any]:
        """What it knows of the others, after it was given another ring."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write((self.document(keyring) if keyring else "") + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def knows(self, name: str) -> bool:
        return name in [peer["name"] for peer in self.peers()["others"]]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.communicate(timeout=_GENEROUS)


class TwoProcesses(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def begin(self, place: Any, name: str, keyring: dict[str, Any]) -> Process:
        process = Process(self.folder, place, name, keyring)
        self.addCleanup(process.close)
        wait_until(lambda: name.encode() in (place.bytes("__tokencache:peers") or b""), seconds=_GENEROUS)
        return process

    def places(self) -> list[Any]:
        places: list[Any] = [Sqlite(self.folder)]
        if redis_server.is_installed():
            redis = Redis(self.folder)
            self.addCleanup(redis.server.kill)
            places.append(redis)
        return places

    def test_a_ring_that_differs_is_a_warning_soon_after_opening_and_gone_after_the_repair(self) -> None:
        for place in self.places():
            with self.subTest(place.l2["kind"]):
                first = self.begin(place, "orders-1", ring(active=1))
                second = self.begin(place, "orders-2", ring(active=2))
                wait_until(lambda: bool(second.peers()["warnings"]), seconds=_GENEROUS)
                [warning] = second.peers()["warnings"]
                for words in ("(orders-1) seals under the key", name_of(1), "cannot be read here", '"Keys differ'):
                    self.assertIn(words, warning)
                wait_until(lambda: warning in second.log.read_text(), seconds=_GENEROUS)
                [other] = second.peers()["others"]
                expected = ("orders-1", first.process.pid, name_of(1), [name_of(1)])
                self.assertEqual((other["name"], other["process"], other["active"], other["opens"]), expected)

                first.peers(ring(active=1, retired=2))
                second.peers(ring(active=1, retired=2))
                wait_until(lambda: not second.peers()["warnings"], seconds=_GENEROUS)
                third = self.begin(place, "orders-3", ring(active=1, retired=2))
                wait_until(lambda: third.knows("orders-1") and third.knows("orders-2"), seconds=_GENEROUS)
                self.assertEqual(third.peers()["warnings"], [])
                for process in (first, second, third):
                    process.close()

    def test_a_key_that_the_other_one_lacks_is_named_from_the_side_that_has_it(self) -> None:
        place = Sqlite(self.folder)
        first = self.begin(place, "orders-1", ring(active=1))
        second = self.begin(place, "orders-2", ring(active=2, retired=1))
        wait_until(lambda: bool(second.peers()["warnings"]), seconds=_GENEROUS)
        [warning] = second.peers()["warnings"]
        for words in ("(orders-1) does not have the key", name_of(2), "it cannot read what is written here"):
            self.assertIn(words, warning)
        first.close()

    def test_a_refused_read_names_the_process_that_has_the_key(self) -> None:
        place = Sqlite(self.folder)
        self.begin(place, "orders-1", ring(active=1))
        document = {"version": 1, "l2": place.l2, "logging": {"to": "none"}}
        with tokencache.open({**document, "encryption": sealing(ring(active=1))}) as writer:
            writer.set("alice", b"token")
        with tokencache.open({**document, "encryption": sealing(ring(active=2))}) as reader:
            wait_until(lambda: bool(reader.stats()["encryption"]["peers"]["warnings"]), seconds=_GENEROUS)
            with self.assertRaisesRegex(tokencache.SealUnknownKey, r"It is held by .*\(orders-1\)"):
                reader.get("alice")


if __name__ == "__main__":
    unittest.main()
