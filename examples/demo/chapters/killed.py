"""L2 is taken away, and then the process that owes it two writes is killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import stage
import tokencache

DEBTOR = Path(__file__).with_name("debtor.py")
#: How long we wait for what has to come.
PATIENCE = 20.0


def run(tour) -> None:
    place = tour.place("killed")
    # Beside the place, which will be away: a journal is kept on the machine whose processes owe.
    journal = place.directory.with_suffix(".journal")
    document = place.document(deadline_ms=400, journal_path=str(journal))
    with tokencache.open(document) as cache:
        cache.set("frank", b"frank's tokens", ttl=3600)
        stage.say(f"Frank is signed in. Another process of this machine has the same journal_path. {place.outage}")

    debtor = _start(document)
    place.take_away()
    _owe(debtor)
    debtor.send_signal(signal.SIGKILL)
    debtor.communicate()
    stage.holds("The process was killed (SIGKILL): it could tell nobody.", debtor.returncode == -signal.SIGKILL)
    place.bring_back()

    stage.line()
    stage.say(f"{place.recovery} A new process opens the same document.")
    with tokencache.open(document) as cache:
        is_level, took = stage.timed(lambda: cache.flush(PATIENCE))
        stage.row("all is in L2", stage.duration(took), "after it was opened")
        tour.keep(cache.stats())
    with tokencache.open(place.document()) as elsewhere:
        # It has no journal: what it finds is what L2 has.
        arrived = is_level and elsewhere.get("grace") == b"grace's tokens"
        stage.holds("A cache without that journal finds Grace: she need not sign in again.", arrived)
        stage.holds("It finds no Frank: his sign-out sticks.", elsewhere.get("frank") is None)


def _start(document: dict) -> subprocess.Popen:
    """A process that has read Frank."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    debtor = subprocess.Popen([sys.executable, str(DEBTOR), json.dumps(document)], **pipes)
    _hear(debtor, "ready")
    return debtor


def _owe(debtor: subprocess.Popen) -> None:
    """Returns when both calls have been answered in the other process, and not before."""
    debtor.stdin.write("go\n")
    debtor.stdin.flush()
    _, took = stage.timed(lambda: _hear(debtor, "removed"))
    stage.row("Frank signs out", stage.duration(took), "TC_DEGRADED: in the journal, on disk")
    _, took = stage.timed(lambda: _hear(debtor, "set"))
    stage.row("Grace signs in", stage.duration(took), "TC_DEGRADED: in the journal, on disk")


def _hear(debtor: subprocess.Popen, word: str) -> None:
    if debtor.stdout.readline().strip() != word:
        raise stage.Broken("The process that is to be killed has failed; its own words are above.")
