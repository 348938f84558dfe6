"""The process that is killed while it owes. Started by `killed.py`."""

from __future__ import annotations

import json
import sys

import tokencache


def main(document: str) -> None:
    cache = tokencache.open(json.loads(document))
    cache.get("frank")
    tell("ready")
    sys.stdin.readline()
    cache.on_retry(lambda failure: tokencache.GIVE_UP)
    cache.remove("frank")
    tell("removed")
    cache.set("grace", b"grace's tokens", ttl=3600)
    tell("set")
    # Until it is killed: closing would be a chance to bring L2 level.
    sys.stdin.read()


def tell(word: str) -> None:
    print(word, flush=True)


main(*sys.argv[1:])
