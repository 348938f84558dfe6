"""Two machines whose key rings differ: the reason in plain words, the repair, and a rotation under reads."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import stage
import tokencache

MACHINE = Path(__file__).with_name("machine.py")
PATIENCE = 20.0


class Ring:
    """The key ring file of one machine, changed as `tokencache keys` does it: whole, or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, *keys: tuple[str, bytes]) -> None:
        listed = [{"state": state, "material": base64.b64encode(material).decode()} for state, material in keys]
        new = self.path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps({"version": 1, "keys": listed}))
        new.replace(self.path)


class Machine:
    """Another process, which reads when it is told to."""

    def __init__(self, document: dict) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen([sys.executable, str(MACHINE), json.dumps(document)], **pipes)
        self.warning = self.ask("warning")

    def ask(self, *words: str) -> str:
        self._process.stdin.write(" ".join(words) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def read(self, key: str) -> str:
        return self.ask("read", key)

    def end(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def run(tour) -> None:
    place = tour.place("keys")
    one, two = Ring(place.directory / "ring-1.json"), Ring(place.directory / "ring-2.json")
    old, other = os.urandom(32), os.urandom(32)
    one.write(("active", old))
    two.write(("active", other))
    with tokencache.open(_document(place, one, "machine-1")) as cache:
        cache.set("alice", b"alice's tokens", ttl=3600)
        stage.say(f"Machine 1 seals Alice's tokens before they go to {place.name}. Machine 2 has a ring of its own.")
        machine = Machine(_document(place, two, "machine-2"))
        try:
            _differ(machine)
            _repair(machine, two, old)
            _rotate(cache, machine, (one, two), old)
        finally:
            machine.end()
        tour.keep(cache.stats())


def _document(place, ring: Ring, name: str) -> dict:
    encryption = {"algorithm": "aes-256-gcm", "keyring_file": str(ring.path)}
    return {**place.document(), "name": name, "encryption": encryption}


def _differ(machine: Machine) -> None:
    stage.line()
    stage.say("What machine 2 has in its log a moment after it was opened, before any user came:")
    stage.quote(machine.warning)
    stage.holds("It was warned.", "machine-1" in machine.warning)
    answer = machine.read("alice")
    stage.say("And when a user comes, a reason, never bytes:")
    stage.quote(answer)
    stage.holds("It is the key that is missing, and it says which.", answer.startswith("SealUnknownKey"))


def _repair(machine: Machine, two: Ring, old: bytes) -> None:
    stage.line()
    stage.say("The ring of machine 1 is copied over that of machine 2. Nothing is restarted.")
    two.write(("active", old))
    started = time.perf_counter()
    while (answer := machine.read("alice")) != "alice's tokens" and time.perf_counter() - started < PATIENCE:
        time.sleep(0.02)
    stage.row("machine 2 reads Alice", stage.duration(time.perf_counter() - started), "after the file was replaced")
    stage.holds("She need not sign in again.", answer == "alice's tokens")


def _rotate(cache, machine: Machine, rings: tuple[Ring, Ring], old: bytes) -> None:
    new = os.urandom(32)
    steps = (
        ("staged: it opens, on both machines", (("active", old), ("retired", new))),
        ("activated: it seals", (("active", new), ("retired", old))),
        ("the old one is revoked", (("active", new), ("revoked", old))),
    )
    stage.line()
    stage.say("A rotation to a new key, file by file, while machine 2 reads what machine 1 writes:")
    reads = 0
    for what, keys in steps:
        before = reads
        for ring in rings:
            ring.write(*keys)
            # What is still sealed under the old key is stored again before that is revoked.
            until = time.perf_counter() + 0.9
            while time.perf_counter() < until:
                cache.set("bob", f"bob's tokens {reads}".encode(), ttl=3600)
                answer = machine.read("bob")
                if answer != f"bob's tokens {reads}":
                    raise stage.Broken(f"This does not hold: every read succeeds. Machine 2 said: {answer}")
                reads += 1
        stage.row(f"  {what}", f"{reads - before:,}", "reads, none failed")
    stage.holds("No read failed.", reads > 0)
