"""A real redis-server of a test's own, on loopback, which leaves nothing behind."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import socket
import subprocess
import unittest
from pathlib import Path
from typing import Any

from support import wait_until


class Refused(Exception):
    """The server answered with an error."""


def is_installed() -> bool:
    return shutil.which("redis-server") is not None


def require() -> None:
    """Skip the test where there is no redis-server."""
    if not is_installed():
        raise unittest.SkipTest("redis-server is not installed")


def free_port() -> int:
    """A port that nobody listens on, below those that the kernel gives to outgoing connections: there a client that
    knocks at a server that is away may meet itself, and hold the port when the server comes back."""
    while True:
        port = random.randrange(20000, 30000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


class Server:
    """A server in a folder. The tests have a user of their own, whatever the others may do."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.options = options
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(exist_ok=True)
        self.restart()

    def launch(self, *more: str) -> None:
        """Start it and wait for nothing."""
        self.kill()
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        command += ["--logfile", str(self.folder / "log"), "--save", "", "--appendonly", "no"]
        command += ["--user", "tests", "on", ">tests", "~*", "&*", "+@all", *self.options, *more]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def restart(self) -> None:
        self.launch()
        wait_until(self.answers, seconds=60)

    def answers(self) -> bool:
        assert self.process
        if self.process.poll() is not None:
            raise AssertionError((self.folder / "log").read_text())
        try:
            return self.ask("PING") == "PONG"
        except OSError:
            return False

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """Stop it, so that it answers nobody and says no goodbye."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGCONT)

    def ask(self, *words: Any) -> Any:
        """What it answers to a command."""
        with contextlib.closing(self.connect()) as link:
            return link.ask(*words)

    def tell(self, line: str) -> Any:
        """What it answers to a command without spaces in its arguments."""
        return self.ask(*line.split())

    def connect(self) -> Link:
        link = Link(self.port)
        link.ask("AUTH", "tests", "tests")
        return link


class Link:
    """A connection, as much of the protocol as the tests need."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 60)
        self._lines = self._socket.makefile("rb")

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def ask(self, *words: Any) -> Any:
        self.send(*words)
        return self._answer()

    def send(self, *words: Any) -> None:
        request = b"*%d\r\n" % len(words)
        for word in words:
            word = word if isinstance(word, bytes) else str(word).encode()
            request += b"$%d\r\n%s\r\n" % (len(word), word)
        self._socket.sendall(request)

    def _answer(self) -> Any:
        line = self._lines.readline()
        if not line:
            raise ConnectionError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise Refused(rest.decode())
        if kind == b"+":
            return rest.decode()
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if int(rest) < 0 else self._lines.read(int(rest) + 2)[:-2]
        return [self._answer() for _ in range(int(rest))]
