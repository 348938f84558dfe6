"""L2 comes back in the middle of a call, and two writers lose nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import stage
import tokencache

WRITER = Path(__file__).with_name("writer.py")
WRITERS, ROUNDS = 2, 200


def run(tour) -> None:
    place = tour.place("back")
    with tokencache.open(place.document(deadline_ms=1000, max_attempts=5)) as cache:
        _outlive(cache, place)
        tour.keep(cache.stats())
    _race_twice(place.document(deadline_ms=5000))


def _outlive(cache, place) -> None:
    cache.set("dora", b"dora's tokens", ttl=3600)
    cache.clear()
    place.take_away()
    is_away = True

    def on_retry(failure):
        nonlocal is_away
        pause, doing = 0.05, "we answer: try again in 50 ms"
        if is_away and failure.attempt > 1:
            is_away = False
            place.bring_back()
            pause, doing = 0, "we bring it back: try again now"
        label, left = f"  attempt {failure.attempt}: {failure.status.name}", failure.remaining * 1000
        stage.row(label, f"{left:.0f} ms left", doing)
        return tokencache.Retry(pause)

    stage.say("L2 is gone again, and Dora is only there. This callback repairs what is broken.")
    cache.on_retry(on_retry)
    entry, took = stage.timed(lambda: stage.found(cache.get_entry("dora"), "Dora's"))
    cache.on_retry(None)
    stage.row("read Dora", stage.duration(took), f"tier {entry.tier.name}")
    stage.holds("The call that met the outage has the answer.", entry.data == b"dora's tokens")


def _race_twice(document: dict) -> None:
    total = WRITERS * ROUNDS
    stage.line()
    stage.say(f"{WRITERS} processes now read, add to and store one user's blob, {ROUNDS} times each, at once.")
    arrived, _ = _race(document, "anything")
    stage.row("stored over anything", f"{arrived} of {total}", "arrived; the rest was overwritten")
    arrived, refused = _race(document, "version")
    stage.row("stored over the version read", f"{arrived} of {total}", f"arrived; {refused} were refused and done again")
    stage.holds("With a version nothing is lost.", arrived == total)


def _race(document: dict, over: str) -> tuple[int, int]:
    """How many tokens are in the blob afterwards, and how many writes were refused."""
    with tokencache.open(document) as cache:
        cache.set("erin", b"{}", ttl=3600)
        # Both wait for the end of one pipe, and so begin together.
        gate, opener = os.pipe()
        command = [sys.executable, str(WRITER), json.dumps(document), over, str(ROUNDS)]
        pipes = {"stdin": gate, "stdout": subprocess.PIPE, "text": True}
        writers = [subprocess.Popen([*command, f"writer {number}"], **pipes) for number in range(WRITERS)]
        os.close(gate)
        for writer in writers:
            writer.stdout.readline()
        os.close(opener)
        counted = [writer.communicate()[0] for writer in writers]
        if any(writer.returncode for writer in writers):
            raise stage.Broken("A process that writes has failed; its own words are above.")
        cache.clear()
        return len(json.loads(stage.found(cache.get("erin"), "Erin's"))), sum(map(int, counted))
