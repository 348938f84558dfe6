"""One of two servers behind a load balancer. Started by `mfa.py`."""

from __future__ import annotations

import json
import sys
import time

import tokencache

HOUR = 3600


class Plain:
    """L1 as token caches have it: a table with a time to live, in front of the same L2."""

    def __init__(self, l2: tokencache.Cache) -> None:
        self._l2, self._here, self.hits = l2, {}, 0

    def set(self, user: str, token: bytes) -> None:
        self._l2.set(user, token, ttl=HOUR)
        self._here[user] = token, time.monotonic() + HOUR

    def get(self, user: str) -> bytes | None:
        token, ends = self._here.get(user, (None, 0))
        if time.monotonic() < ends:
            self.hits += 1
            return token
        token = self._l2.get(user)
        if token is not None:
            self._here[user] = token, time.monotonic() + HOUR
        return token


class Ours:
    """The library, as it is."""

    def __init__(self, cache: tokencache.Cache) -> None:
        self._cache = cache
        self.get = cache.get

    def set(self, user: str, token: bytes) -> None:
        self._cache.set(user, token, ttl=HOUR)

    @property
    def hits(self) -> int:
        return self._cache.stats()["l1"]["hits"]


def main(document: str, kind: str) -> None:
    with tokencache.open(json.loads(document)) as cache:
        tokens = Plain(cache) if kind == "plain" else Ours(cache)
        for line in sys.stdin:
            what, *words = line.split()
            print(answer(tokens, what, *words), flush=True)


def answer(tokens: Plain | Ours, what: str, user: str = "", level: str = "") -> object:
    if what == "hits":
        return tokens.hits
    token = f"a token of {user}, after MFA {level}".encode()
    try:
        if what == "mfa":
            tokens.set(user, token)
            return "done"
        return "served" if tokens.get(user) == token else "prompt"
    except tokencache.TokencacheError as error:
        return f"{type(error).__name__}: {error}"


main(*sys.argv[1:])
