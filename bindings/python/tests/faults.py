"""What can happen to the folder of a shared database: real faults, each of which can be undone.

A mount is for root. Where none can be made the fault is skipped by name.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

from support import shared, wait_until

_HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(f"PRAGMA locking_mode={sys.argv[2]}")
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE entries SET used_at_ms = used_at_ms + 1")
print("locked", flush=True)
sys.stdin.read()
"""


class Fault(contextlib.ExitStack):
    """A fault of the database in ``home``, which comes with ``inject``, goes with ``repair``, and leaves nothing."""

    name = ""
    #: Whether it can only come while no cache has the database open.
    comes_first = False

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.home = folder / "home"
        self.home.mkdir()
        self.furnish()
        self.database = self.home / "tokens.db"
        self._undo = contextlib.ExitStack()
        self.callback(self.repair)

    def document(self, **members: Any) -> dict[str, Any]:
        """What a cache is opened with whose L2 the fault happens to."""
        return shared(self.database, **members)

    #: What a callback reconfigures the cache to.
    remedy = document

    def prepare_remedy(self) -> None:
        """Make ready what the callback will need."""

    def settle(self) -> None:
        """Wait until the library has tidied up; else the log would stay, and the fault would find another database."""
        log = self.database.with_name(f"{self.database.name}-wal")
        wait_until(lambda: not log.exists())

    def strike(self, cache: Any) -> None:
        """Let it come while the cache is open."""
        self.inject()

    def furnish(self) -> None:
        """Put the disk at ``home`` on which the fault can happen; it goes when everything else has gone."""

    def inject(self) -> None:
        raise NotImplementedError

    def repair(self) -> None:
        self._undo.close()

    def run(self, *command: Any) -> None:
        """Run what only root may run, or skip."""
        try:
            subprocess.run([str(word) for word in command], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            raise unittest.SkipTest(f"{command[0]} cannot be used here ({self.name})") from None

    def mount(self, stack: contextlib.ExitStack, place: Path, *options: str) -> None:
        """Mount at ``place``, until the stack is unwound; lazily, for the cache may still have files open there."""
        self.run("mount", *options, place)
        stack.callback(subprocess.run, ["umount", "-l", str(place)], check=True)


class Locked(Fault):
    """Another process has the database for itself; not even readers get in."""

    name = "locked"
    # In WAL mode readers are barred only by a connection that finds no other one when it comes.
    comes_first = True
    mode = "EXCLUSIVE"

    def inject(self) -> None:
        command = [sys.executable, "-c", _HOLD, str(self.database), self.mode]
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._undo.callback(holder.__exit__, None, None, None)
        assert holder.stdin and holder.stdout
        self._undo.callback(holder.stdin.close)
        assert holder.stdout.readline() == "locked\n"


class LockedForWriters(Locked):
    """Another process is writing and does not end; readers get in."""

    name = "locked-for-writers"
    comes_first = False
    mode = "NORMAL"


class NotADatabase(Fault):
    """Another file took its place."""

    name = "not-a-database"

    def inject(self) -> None:
        other, kept = self.home / "other", self.home / "kept"
        other.write_bytes(b"This is a letter and no database. " * 1000)
        os.link(self.database, kept)
        os.replace(other, self.database)
        self._undo.callback(os.replace, kept, self.database)


class DirectoryGone(Fault):
    """Its directory was moved away."""

    name = "directory-gone"

    def inject(self) -> None:
        away = self.home.with_name("away")
        self.home.rename(away)
        self._undo.callback(away.rename, self.home)


class ReadOnly(Fault):
    """The path leads to a read-only file system, with the database as another machine might have left it."""

    name = "read-only"

    def inject(self) -> None:
        disk = self.home.with_name("disk")
        disk.mkdir(exist_ok=True)
        self.mount(self._undo, disk, "-t", "tmpfs", "tmpfs")
        # The index of the log first, so that it never claims more than the log and the database hold.
        for end in ("-shm", "-wal", ""):
            shutil.copy(f"{self.database}{end}", disk)
        self.run("mount", "-o", "remount,ro", disk)
        self.mount(self._undo, self.home, "--bind", str(disk))


class TurnedReadOnly(Fault):
    """The kernel makes the file system read-only under an open database, as it does when a disk fails."""

    name = "turned-read-only"

    def furnish(self) -> None:
        image = self.home.with_name("image")
        with image.open("wb") as file:
            file.truncate(8 << 20)
        self.run("mkfs.ext4", "-q", image)
        self.mount(self, self.home, "-o", "loop,errors=remount-ro", str(image))

    def inject(self) -> None:
        self.run("mount", "-o", "remount,abort", self.home)


class DiskFull(Fault):
    """Not a byte more fits on its disk."""

    name = "disk-full"

    def furnish(self) -> None:
        self.mount(self, self.home, "-t", "tmpfs", "-o", "size=1m", "tmpfs")

    def inject(self) -> None:
        filler = self.home / "filler"
        self._undo.callback(filler.unlink)
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass


#: The faults of the retry table.
FAULTS: tuple[type[Fault], ...] = (Locked, NotADatabase, DirectoryGone, ReadOnly, DiskFull)
