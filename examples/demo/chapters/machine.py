"""The other machine. Started by `keys.py`."""

from __future__ import annotations

import json
import sys
import time

import tokencache


def main(document: str) -> None:
    # Its L1 would answer what it has read before, and here everything is to come from L2.
    with tokencache.open({**json.loads(document), "l1": {"enabled": False}}) as cache:
        for line in sys.stdin:
            what, *words = line.split()
            print(warning(cache) if what == "warning" else read(cache, *words), flush=True)


def warning(cache: tokencache.Cache) -> str:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if warnings := cache.stats()["encryption"]["peers"]["warnings"]:
            return warnings[0]
        time.sleep(0.02)
    return "none"


def read(cache: tokencache.Cache, key: str) -> str:
    try:
        value = cache.get(key)
    except tokencache.TokencacheError as error:
        return f"{type(error).__name__}: {error}"
    return "nothing" if value is None else value.decode()


main(*sys.argv[1:])
