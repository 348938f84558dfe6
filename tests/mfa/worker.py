"""One server of the MFA scene. Does what each line of its input says, and answers it with a line:

    mfa USER LEVEL       the user has completed MFA here: new tokens are stored     -> done
    request USER LEVEL   a request of a user who has completed MFA that many times  -> served, or prompt where the
                                                                                      token that is found is from before

With "plain" the server keeps an L1 as token caches do: a table with a time to live in front of the same L2.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Optional

import tokencache

TTL = 3600.0


class Plain:
    """An L1 with a time to live, which hears of nothing."""

    def __init__(self, l2: tokencache.Cache) -> None:
        self._l2 = l2
        self._here: dict[str, tuple[bytes, float]] = {}

    def set(self, key: str, value: bytes) -> None:
        self._l2.set(key, value)
        self._here[key] = (value, time.monotonic() + TTL)

    def get(self, key: str) -> Optional[bytes]:
        value, ends = self._here.get(key, (None, 0.0))
        if value is None or time.monotonic() >= ends:
            value = self._l2.get(key)
            if value is not None:
                self._here[key] = (value, time.monotonic() + TTL)
        return value


def main(document: str, kind: str) -> None:
    with tokencache.open(json.loads(document)) as cache:
        tokens = Plain(cache) if kind == "plain" else cache
        print("ready", flush=True)
        for line in sys.stdin:
            what, user, level = line.split()
            if what == "mfa":
                tokens.set(user, b"mfa=" + level.encode())
                print("done", flush=True)
            else:
                found = tokens.get(user)
                print("served" if found == b"mfa=" + level.encode() else "prompt", flush=True)
        if kind != "plain":
            print(cache.stats()["l1"]["hits"], flush=True)


main(*sys.argv[1:])
