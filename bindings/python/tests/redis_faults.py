"""What can happen to a Redis: real faults, each of which can be undone."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from typing import Any

import redis_server
from redis_server import Refused, Server
from support import wait_until
from tokencache import TokencacheError

PREFIX = "p:"
_KEY = "p:key"


def document(url: str, l2: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "l2": {"kind": "redis", "url": url, "key_prefix": PREFIX, **l2},
        "encryption": {"algorithm": "none"},
        "logging": {"to": "none"},
        **members,
    }


class RedisFault(contextlib.ExitStack):
    """A fault of a server, which comes with ``inject``, goes with ``repair``, and leaves nothing."""

    name = ""
    #: Whether it comes before the cache has a link for it to happen to.
    comes_first = False
    options: tuple[str, ...] = ()

    def __init__(self, folder: Path) -> None:
        super().__init__()
        redis_server.require()
        self.folder = folder
        self.server = self.start("server", *self.options)
        self.l2: dict[str, Any] = {}
        self._undo = contextlib.ExitStack()
        self.callback(self.repair)

    def start(self, name: str, *options: str) -> Server:
        server = Server(self.folder / name, *options)
        self.callback(server.kill)
        return server

    def document(self, **members: Any) -> dict[str, Any]:
        """What a cache is opened with whose L2 the fault happens to."""
        return document(self.server.url, self.l2, **members)

    def remedy(self, **members: Any) -> dict[str, Any]:
        """What a callback reconfigures the cache to: another server."""
        if not hasattr(self, "elsewhere"):
            self.prepare_remedy()
        return document(self.elsewhere.url, {}, **members)

    def prepare_remedy(self) -> None:
        """Start the other server now, so that nobody is kept waiting for it in a call."""
        self.elsewhere = self.start("elsewhere")

    def settle(self) -> None:
        """Nothing of a closed cache stays behind in Redis."""

    def inject(self) -> None:
        raise NotImplementedError

    def strike(self, cache: Any) -> None:
        """Let it come while the cache is open."""
        self.inject()

    def repair(self) -> None:
        self._undo.close()


class NothingListens(RedisFault):
    """The server is gone, and nobody has taken its place."""

    name = "nothing-listens"
    comes_first = True

    def inject(self) -> None:
        self.server.kill()
        self._undo.callback(self.server.restart)


class Killed(NothingListens):
    """The server dies under an open link."""

    name = "killed"
    comes_first = False


class Stopped(RedisFault):
    """The server stands still: it takes connections and answers nobody."""

    name = "stopped"

    def inject(self) -> None:
        self.server.stop()
        self._undo.callback(self.server.go_on)


class _WithPassword(RedisFault):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.file = folder / "password"
        self.file.write_text("right\n")
        self.server.tell("ACL SETUSER app on >right ~* +@all")
        self.l2 = {"username": "app", "password_file": str(self.file)}


class WrongPassword(_WithPassword):
    """The password in the file is not the server's."""

    name = "wrong-password"
    comes_first = True

    def inject(self) -> None:
        self.file.write_text("wrong\n")
        self._undo.callback(self.file.write_text, "right\n")


class PasswordChanged(_WithPassword):
    """The server's password changes under an open link, which the server closes."""

    name = "password-changed"

    def inject(self) -> None:
        self.server.tell("ACL SETUSER app resetpass >other")
        self.server.tell("CLIENT KILL USER app")
        self._undo.callback(self.file.write_text, "other\n")

    def strike(self, cache: Any) -> None:
        self.inject()
        # Until the next attempt at a link it is only known that the last one was closed.
        wait_until(lambda: _status(cache) == "L2_DENIED")


class Replica(RedisFault):
    """The server has become the replica of another."""

    name = "read-only-replica"
    # A primary otherwise waits five seconds for more replicas.
    options = ("--repl-diskless-sync-delay", "0")

    def inject(self) -> None:
        primary = self.start("primary", *self.options)
        self.follow(primary, self.server)
        primary.tell("REPLICAOF NO ONE")
        self.follow(self.server, primary)
        self._undo.callback(self.server.tell, "REPLICAOF NO ONE")

    def follow(self, replica: Server, primary: Server) -> None:
        replica.tell(f"REPLICAOF 127.0.0.1 {primary.port}")
        wait_until(lambda: b"master_link_status:up" in replica.tell("INFO replication"), seconds=60)
        wait_until(lambda: replica.ask("EXISTS", _KEY) == 1, seconds=60)


class Full(RedisFault):
    """The server has reached its memory's limit and evicts nothing."""

    name = "full"

    def inject(self) -> None:
        self.server.tell("CONFIG SET maxmemory 1")
        self._undo.callback(self.server.tell, "CONFIG SET maxmemory 0")


class Loading(RedisFault):
    """The server has been started again and is reading a large file."""

    name = "loading"
    comes_first = True
    options = ("--enable-debug-command", "yes", "--loading-process-events-interval-bytes", "1024")

    def inject(self) -> None:
        self.server.tell("DEBUG POPULATE 40000 filler 100")
        self.server.tell("SAVE")
        # Microseconds for each key.
        self.server.launch("--key-load-delay", "500")
        wait_until(self._is_loading, seconds=60)
        self._undo.callback(self._finish)

    def _is_loading(self) -> bool:
        try:
            self.server.ask("PING")
        except Refused as refused:
            return str(refused).startswith("LOADING")
        except OSError:
            pass
        return False

    def _finish(self) -> None:
        self.server.tell("CONFIG SET key-load-delay 0")
        wait_until(lambda: not self._is_loading(), seconds=60)


class Busy(RedisFault):
    """The server runs a script that does not end."""

    name = "script-busy"
    options = ("--busy-reply-threshold", "10")

    def inject(self) -> None:
        link = self.server.connect()
        self._undo.callback(link.close)
        link.send("EVAL", "while true do end", 0)
        wait_until(lambda: self._refuses("PING"), seconds=60)
        self._undo.callback(self._end)

    def _refuses(self, word: str) -> bool:
        try:
            self.server.ask(word)
        except Refused:
            return True
        return False

    def _end(self) -> None:
        self.server.tell("SCRIPT KILL")
        wait_until(lambda: not self._refuses("PING"), seconds=60)


class AnotherType(RedisFault):
    """Somebody keeps something else under the entry's name."""

    name = "another-type"

    def inject(self) -> None:
        self.server.ask("UNLINK", _KEY)
        self.server.ask("RPUSH", _KEY, "theirs")
        self._undo.callback(self.server.ask, "UNLINK", _KEY)


class CutReply(RedisFault):
    """Every reply is cut in its middle, and the link with it."""

    name = "cut-reply"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.is_cutting = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()
        self.callback(self._listener.close)
        # Which wakes the thread that accepts.
        self.callback(self._listener.shutdown, socket.SHUT_RDWR)

    def document(self, **members: Any) -> dict[str, Any]:
        return document(self._url, self.l2, **members)

    def inject(self) -> None:
        self.is_cutting = True
        self._undo.callback(setattr, self, "is_cutting", False)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self.server.port))
                threading.Thread(target=self._forward, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._forward, args=(server, client, True), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, is_reply: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                if is_reply and self.is_cutting:
                    target.sendall(piece[: len(piece) // 2])
                    break
                target.sendall(piece)
        for link in (source, target):
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
            link.close()


def _status(cache: Any) -> str:
    try:
        cache.get(b"another key")
    except TokencacheError as error:
        return getattr(error.status, "name", str(error.status))
    return "OK"


#: The faults of the retry table.
FAULTS: tuple[type[RedisFault], ...] = (
    NothingListens,
    Killed,
    Stopped,
    WrongPassword,
    PasswordChanged,
    Replica,
    Full,
    Loading,
    Busy,
    AnotherType,
    CutReply,
)
