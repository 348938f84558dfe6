"""Servers that open a cache before they fork, and processes that begin in other ways."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import unittest
import urllib.request
from pathlib import Path
from typing import Callable

import redis_server
import tokencache
from support import CacheTest, shared, wait_until

WORKERS = 4
REQUESTS = 50

_APPLICATION = """
import os, tokencache
cache = tokencache.open(os.environ["TOKENCACHE_TEST_DOCUMENT"])
cache.set("parent", b"from the parent")

def application(environ, start_response):
    key = environ["PATH_INFO"]
    cache.set(key, key.encode())
    is_right = cache.get(key) == key.encode() and cache.get("parent") == b"from the parent"
    start_response("200 OK" if is_right else "500 Wrong", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


def _serve(cache: tokencache.Cache, worker: int) -> None:
    for request in range(REQUESTS):
        key = f"{worker}.{request}"
        cache.set(key, key.encode())
        assert cache.get(key) == key.encode()
        assert cache.get("parent") == b"from the parent"


def _forked(body: Callable[[], None]) -> int:
    process = os.fork()
    if process == 0:
        status = 1
        try:
            body()
            status = 0
        finally:
            os._exit(status)
    return process


def _open_and_serve(document: dict, worker: int) -> None:
    with tokencache.open(document) as cache:
        _serve(cache, worker)


class Preloaded:
    """Of an L2 that the subclass chooses."""

    def test_preloaded_workers_serve(self) -> None:
        workers = [_forked(lambda number=number: _serve(self.shared, number)) for number in range(WORKERS)]
        for worker in workers:
            self.assertEqual(os.waitpid(worker, 0)[1], 0)
        for worker in range(WORKERS):
            for request in range(REQUESTS):
                self.assertEqual(self.shared.get(f"{worker}.{request}"), f"{worker}.{request}".encode())

    def test_a_daemon_forks_twice_and_serves(self) -> None:
        output, ours = os.pipe()

        def become_daemon() -> None:
            os.setsid()
            if os.fork() != 0:
                return
            _serve(self.shared, 9)
            os.write(ours, b"served")

        between = _forked(become_daemon)
        os.close(ours)
        self.assertEqual(os.waitpid(between, 0)[1], 0)
        with os.fdopen(output, "rb") as output:
            self.assertEqual(output.read(), b"served")
        self.assertEqual(self.shared.get("9.0"), b"9.0")

    def test_processes_of_every_start_method_serve(self) -> None:
        for method in ["fork", "forkserver", "spawn"]:
            with self.subTest(method):
                context = multiprocessing.get_context(method)
                of_its_own = (self.document, 1)
                workers = [context.Process(target=_open_and_serve, args=of_its_own) for _ in range(2)]
                if method == "fork":
                    workers.append(context.Process(target=_serve, args=(self.shared, 2)))
                for worker in workers:
                    worker.start()
                for worker in workers:
                    worker.join(120)
                    self.assertEqual(worker.exitcode, 0)

    def test_gunicorn_with_a_preloaded_application_serves(self) -> None:
        if importlib.util.find_spec("gunicorn") is None:
            self.skipTest("gunicorn is not installed")
        folder = Path(self.database).parent
        (folder / "application.py").write_text(_APPLICATION)
        port = redis_server.free_port()
        environment = os.environ | {"TOKENCACHE_TEST_DOCUMENT": json.dumps(self.document)}
        command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", str(WORKERS), "--chdir", str(folder)]
        command += ["--bind", f"127.0.0.1:{port}", "--log-level", "warning", "application:application"]
        with subprocess.Popen(command, env=environment) as server:
            try:
                wait_until(lambda: is_listening(port), seconds=60, pause=0.02)
                served = [ask(port, number) for number in range(200)]
            finally:
                server.send_signal(signal.SIGTERM)
            self.assertEqual(server.wait(60), 0)
        self.assertNotIn(str(server.pid), served)
        for number in range(200):
            self.assertEqual(self.shared.get(f"/{number}"), f"/{number}".encode())


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ask(port: int, number: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{number}", timeout=60) as answer:
        return answer.read().decode()


class OnSqlite(Preloaded, CacheTest):
    def setUp(self) -> None:
        super().setUp()
        self.document = shared(self.database, resilience={"deadline_ms": 60_000, "close_ms": 60_000})
        self.shared = self.open(self.document)
        self.shared.set("parent", b"from the parent")


class OnRedisWithAJournalFile(Preloaded, CacheTest):
    def setUp(self) -> None:
        redis_server.require()
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        server = redis_server.Server(Path(folder.name))
        self.addCleanup(server.kill)
        self.document = {
            "version": 1,
            "l2": {"kind": "redis", "url": server.url},
            "encryption": {"algorithm": "none"},
            "logging": {"to": "none"},
            "resilience": {"deadline_ms": 60_000, "close_ms": 60_000, "journal_path": str(self.database) + ".owed"},
        }
        self.shared = self.open(self.document)
        self.shared.set("parent", b"from the parent")


if __name__ == "__main__":
    unittest.main()
