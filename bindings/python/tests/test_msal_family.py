"""Stock MSAL.NET and stock MSAL Python over one L2, sealed with one ring: what one is given the other finds."""

from __future__ import annotations

import json
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

import dotnet
import redis_server
import tokencache
from identity_provider import CLIENT, TENANT, Provider
from msal_support import ALICE, PATIENT, AccessToken, Program
from sealing import ring, sealing
from support import wait_until

_PREFIX = "orders:"
#: Of each language so many, and each so many merges.
_WRITERS, _MERGES = 4, 50


class Family:
    """The tests, whatever L2 is."""

    l2: dict[str, Any]

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.provider = Provider()
        self.provider.__enter__()
        self.addCleanup(self.provider.__exit__)

    def document(self) -> dict[str, Any]:
        return {
            "version": 1,
            "l2": self.l2,
            "encryption": sealing(ring(active=1)),
            "logging": {"to": "none"},
            "resilience": PATIENT,
            "coherence": {"heartbeat_timeout_ms": 60_000},
        }

    def dotnet(self) -> Program:
        program = dotnet.program("tests/dotnet/msal")
        return Program(self, [*program, json.dumps(self.document()), CLIENT, TENANT, str(self.provider.port)])

    def python(self) -> Program:
        program = str(Path(__file__).with_name("msal_family.py"))
        return Program(self, [sys.executable, program, json.dumps(self.document()), str(self.provider.port)])

    def blob(self, key: str) -> dict[str, Any]:
        with tokencache.open(self.document()) as cache:
            found: dict[str, Any] = json.loads(cache.get(key) or b"{}")
            return found

    def found_by(self, one: Program, other: Program) -> None:
        """Alice signs in at one; then each renews her tokens, by what the one before was given, once and twice."""
        token = one.ask("sign-in", "alice", "orders.read")
        self.assertEqual(token, "alice/orders.read/plain/1")
        self.hears(other, "orders.read")
        self.assertEqual(other.ask("silent", ALICE, "orders.read"), f"cache {token}")
        for number, server in enumerate([other, other, one, one, other, one]):
            scope = f"orders.write{number}"
            granted = server.ask("silent", ALICE, scope)
            self.assertRegex(granted, f"^provider alice/{scope}/plain/")
            for asked in (one, other):
                self.hears(asked, scope)
                self.assertEqual(asked.ask("silent", ALICE, scope), granted.replace("provider", "cache"))
        self.assertEqual(one.ask("silent", ALICE, "orders.read"), f"cache {token}")
        self.assertNotIn(b"alice/", b"".join(path.read_bytes() for path in self.folder.rglob("*") if path.is_file()))

    def hears(self, server: Program, scope: str) -> None:
        """Wait for it to hear of another's change, which takes a moment longer than the answer to the other."""
        wait_until(lambda: server.ask("has", ALICE, scope) == "yes", seconds=60)

    def test_who_has_signed_in_with_dotnet_is_found_by_python(self) -> None:
        self.found_by(self.dotnet(), self.python())

    def test_who_has_signed_in_with_python_is_found_by_dotnet(self) -> None:
        self.found_by(self.python(), self.dotnet())

    def test_writers_of_both_languages_lose_no_token_of_each_other(self) -> None:
        writers = [make() for make in (self.dotnet, self.python) for _ in range(_WRITERS)]
        for number, writer in enumerate(writers):
            writer.tell("add", f"w{number}", _MERGES)
        for writer in writers:
            self.assertEqual(writer.hear(), "done")
        tokens = self.blob(tokencache.msal.app_key(CLIENT, TENANT))[AccessToken].values()
        expected = {f"w{n}.{m}/.default" for n in range(len(writers)) for m in range(_MERGES)}
        there = {token["target"] for token in tokens}
        print(f"{type(self).__name__}: {len(there & expected)} of {len(expected)} tokens, {len(writers)} writers")
        self.assertEqual(there, expected)
        self.assertEqual(len(tokens), len(expected))


class OverSqlite(Family, unittest.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.l2 = {"kind": "sqlite", "path": str(self.folder / "tokens.db"), "key_prefix": _PREFIX}


class OverRedis(Family, unittest.TestCase):
    def setUp(self) -> None:
        redis_server.require()
        super().setUp()
        server = redis_server.Server(self.folder / "redis")
        self.addCleanup(server.kill)
        self.l2 = {"kind": "redis", "url": server.url, "key_prefix": _PREFIX}


if __name__ == "__main__":
    unittest.main()
