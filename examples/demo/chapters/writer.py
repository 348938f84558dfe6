"""One of the processes that add to the same blob. Started by `back.py`."""

from __future__ import annotations

import json
import sys

import tokencache


def main(document: str, over: str, rounds: str, name: str) -> None:
    refused = 0
    with tokencache.open(document) as cache:
        print("ready", flush=True)
        sys.stdin.read()
        for number in range(int(rounds)):
            while not add(cache, f"{name}, token {number}", over == "version"):
                refused += 1
    print(refused)


def add(cache: tokencache.Cache, token: str, names_version: bool) -> bool:
    """Whether it was stored; if not, somebody else was faster."""
    entry = cache.get_entry("erin")
    blob = json.loads(entry.data)
    blob[token] = "secret"
    expected = entry.version if names_version else None
    try:
        cache.set("erin", json.dumps(blob).encode(), ttl=3600, expected_version=expected)
    except tokencache.Conflict:
        return False
    return True


main(*sys.argv[1:])
