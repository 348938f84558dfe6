"""Where L2 lives in this tour, and how it is taken away for real."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from stage import Broken


class Place:
    """An L2 that processes share. ``take_away`` and ``bring_back`` are a real outage."""

    #: What it is called in the middle of a sentence, and what opening it is called.
    name = opened = ""
    #: What happens to it in an outage, and at its end.
    outage = recovery = ""
    #: Whether a write that failed in the outage has certainly not been done.
    tells_what_was_done = True

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def l2(self) -> dict:
        raise NotImplementedError

    def document(self, **resilience: int | str) -> dict:
        """The document of the tour's caches."""
        return {
            "version": 1,
            "name": "tour",
            "l2": self.l2(),
            "encryption": {"algorithm": "none"},  # The tokens are made up; real ones deserve better.
            "resilience": resilience,
            "logging": {"to": "none"},  # The tour tells what happens itself.
        }

    def take_away(self) -> None:
        raise NotImplementedError

    def bring_back(self) -> None:
        raise NotImplementedError


class Sqlite(Place):
    """A file that the processes of one machine share."""

    name, opened = "tokens.db", "the same file"
    outage = "The directory of tokens.db is renamed away."
    recovery = "The directory is back."

    def l2(self) -> dict:
        return {"kind": "sqlite", "path": str(self.directory / "tokens.db")}

    def take_away(self) -> None:
        os.rename(self.directory, self._hidden)

    def bring_back(self) -> None:
        os.rename(self._hidden, self.directory)

    @property
    def _hidden(self) -> Path:
        return self.directory.with_suffix(".gone")


class Redis(Place):
    """A server of this tour's own, on a free port of this machine."""

    name, opened = "Redis", "the same Redis"
    outage = "Redis is stopped (SIGSTOP): it still takes connections, and answers nobody."
    recovery = "Redis goes on (SIGCONT)."
    tells_what_was_done = False

    def __init__(self, directory: Path, server: RedisServer) -> None:
        super().__init__(directory)
        self._server = server

    def l2(self) -> dict:
        # Each chapter has keys of its own.
        return {"kind": "redis", "url": self._server.url, "key_prefix": f"{self.directory.name}:"}

    def take_away(self) -> None:
        self._server.signal(signal.SIGSTOP)

    def bring_back(self) -> None:
        self._server.signal(signal.SIGCONT)


class RedisServer:
    """A redis-server that lives as long as the tour, and keeps nothing on disk."""

    def __init__(self, program: str, directory: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{port}/0"
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(directory)]
        self._process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
        self._wait(port)

    def _wait(self, port: int) -> None:
        until = time.monotonic() + 20
        while time.monotonic() < until and self._process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1) as link:
                    link.sendall(b"PING\r\n")
                    if link.recv(16).startswith(b"+PONG"):
                        return
            except OSError:
                time.sleep(0.02)
        raise Broken("redis-server was found and did not start; --sqlite takes the tour without it.")

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def __enter__(self) -> RedisServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def redis_program() -> str | None:
    """The redis-server of this machine, if it has one."""
    return shutil.which("redis-server")
