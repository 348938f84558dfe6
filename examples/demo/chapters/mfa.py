"""MFA was completed on one server, and the next request reaches the other."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import stage

SERVER = Path(__file__).with_name("server.py")
#: While one of them is on the way from one server to the other, the others are served.
USERS, ROUNDS = 50, 20


class Server:
    """A process with a cache of its own."""

    def __init__(self, document: dict, kind: str) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen([sys.executable, str(SERVER), json.dumps(document), kind], **pipes)

    def ask(self, *words: object) -> str:
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def end(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def run(tour) -> None:
    place = tour.place("mfa")
    stage.say(
        f"A user completes MFA on server 1, which stores tokens that say so. The next request reaches server 2, whose L1 "
        f"still holds those from before: MFA is asked for again. Two processes, {USERS} users, {USERS * ROUNDS:,} times:"
    )
    plain = {**place.document(deadline_ms=5000), "l1": {"enabled": False}}
    without = _play(plain, "plain", "L1 with a time to live of an hour")
    ours = _play(place.document(deadline_ms=5000), "ours", "this library, L1 on")
    stage.holds("Without us users are asked again and again.", without["prompts"] > USERS * ROUNDS // 2)
    stage.holds("With us nobody is asked twice.", ours["prompts"] == 0)
    stage.holds("And L1 still answers what nobody has changed.", ours["hits"] >= USERS * ROUNDS)


def _play(document: dict, kind: str, what: str) -> dict:
    servers = [Server(document, kind), Server(document, kind)]
    requests = prompts = 0
    started = time.perf_counter()
    try:
        for level in range(1, ROUNDS + 1):
            here, there = servers
            for user in range(USERS):
                _expect(here.ask("mfa", user, level), "done")
            # Two requests at the other server: whatever it has to fetch for the first, it has for the second.
            for server, user in ((server, user) for user in range(USERS) for server in (there, there)):
                answer = server.ask("request", user, level)
                _expect(answer, "served", "prompt")
                requests, prompts = requests + 1, prompts + (answer == "prompt")
            stage.progress(level, ROUNDS, f"rounds, {prompts:,} prompts")
            servers.reverse()
        hits = sum(int(server.ask("hits")) for server in servers)
    finally:
        for server in servers:
            server.end()
    took = stage.duration(time.perf_counter() - started)
    stage.row(what, f"{prompts:,}", f"prompts in {requests:,} requests, {hits:,} answered by L1, {took}")
    return {"prompts": prompts, "hits": hits}


def _expect(answer: str, *known: str) -> None:
    if answer not in known:
        raise stage.Broken(f"A server has failed: {answer or 'it has ended; its own words are above.'}")
