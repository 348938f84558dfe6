"""What the tests of MSAL share: servers of a farm, a provider, an L2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unittest
import warnings
from pathlib import Path
from typing import Any

import tokencache
from identity_provider import Provider, application, home_account_id
from support import CacheTest, shared
from tokencache import library

try:
    import msal

    import tokencache.msal
    from msal_worker import answer
except ImportError as missing:
    raise unittest.SkipTest("MSAL is not installed") from missing

__all__ = ["ALICE", "ENVIRONMENT", "PATIENT", "AccessToken", "Msal", "Program", "Worker", "answer", "msal"]

_SOURCE = Path(tokencache.__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(_SOURCE), "TOKENCACHE_LIBRARY": library.path}
ALICE = home_account_id("alice")
#: A machine that is busy with other things must not turn a write away.
PATIENT = {"deadline_ms": 30_000, "circuit_failures": 0}
AccessToken = "AccessToken"


class Program:
    """A process that does what it is told, a line at a time."""

    def __init__(self, test: unittest.TestCase, command: list[str]) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=ENVIRONMENT)
        test.addCleanup(self.end)
        assert self.hear() == "ready"

    def tell(self, *words: object) -> None:
        assert self.process.stdin
        print(*words, file=self.process.stdin, flush=True)

    def hear(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def ask(self, *words: object) -> str:
        self.tell(*words)
        return self.hear()

    def end(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Worker(Program):
    """A process with a cache of its own."""

    def __init__(self, test: unittest.TestCase, document: dict[str, Any], key: str, port: int = 0) -> None:
        program = Path(__file__).with_name("msal_worker.py")
        super().__init__(test, [sys.executable, str(program), json.dumps(document), key, str(port)])


class Msal(CacheTest):
    def setUp(self) -> None:
        super().setUp()
        self.provider = Provider()
        self.provider.__enter__()
        self.addCleanup(self.provider.__exit__)

    def token_cache(self, key: str = ALICE, **members: Any) -> Any:
        """That of one server: over a cache of its own."""
        return tokencache.msal.TokenCache(self.open_shared(**members), key)

    def app(self, token_cache: Any) -> Any:
        return application(self.provider.port, token_cache)

    def signed_in(self, token_cache: Any, scope: str = "orders.read") -> Any:
        app = self.app(token_cache)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # It is kept, and needs no browser.
            self.assertIn("access_token", app.acquire_token_by_authorization_code("alice", [scope]))
        return app

    def blob(self, key: str = ALICE) -> dict[str, Any]:
        with tokencache.open(shared(self.database)) as cache:
            found: dict[str, Any] = json.loads(cache.get(key) or b"{}")
            return found

    def targets(self, key: str = ALICE) -> set[str]:
        return {token["target"] for token in self.blob(key).get(AccessToken, {}).values()}
