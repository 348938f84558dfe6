"""As tests/c/panics.c: ``host.py <document> <folder>``."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable

import tokencache
from tokencache import Status

DOCUMENT, FOLDER = sys.argv[1], Path(sys.argv[2])
panics = 0


def may(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What a call answers; nothing where it failed as it may."""
    global panics
    try:
        return call(*arguments, **options)
    except tokencache.TokencacheError as error:
        assert error.status == Status.PANIC or Status.L2_FULL <= error.status <= Status.L2_UNREACHABLE, repr(error)
        panics += error.status == Status.PANIC
        return None


def every_call(cache: tokencache.Cache) -> None:
    may(cache.set, "alice", b"token")
    may(cache.get, "alice")
    may(cache.clear)
    readers = [threading.Thread(target=lambda: may(cache.get, "alice")) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    entry = may(cache.get_entry, "alice")
    if entry is not None:
        try:
            may(cache.set, "alice", b"swapped", expected_version=entry.version)
        except tokencache.Conflict:
            pass
    may(cache.touch, "alice")
    may(cache.remove, "alice")
    may(cache.stats)

    async def in_the_background() -> None:
        calls = cache.aset("bob", b"token"), cache.aget("bob"), cache.aremove("bob")
        for outcome in await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 40):
            if isinstance(outcome, BaseException):
                assert isinstance(outcome, tokencache.TokencacheError), repr(outcome)

    asyncio.run(in_the_background())


def for_a_while(cache: tokencache.Cache, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        every_call(cache)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 40
    while not condition():
        assert time.monotonic() < end, "This never came about."
        time.sleep(0.001)


def is_level(cache: tokencache.Cache) -> bool:
    try:
        cache.set("alice", b"last")
        cache.clear()
        return cache.get("alice") == b"last" and cache.flush(1)
    except tokencache.TokencacheError:
        return False


def is_removed(cache: tokencache.Cache) -> bool:
    try:
        cache.remove("alice")
        return cache.get("alice") is None
    except tokencache.TokencacheError:
        return False


def main() -> None:
    cache = None
    while cache is None:
        cache = may(tokencache.open, DOCUMENT)
    cache.on_retry(lambda failure: None)
    for_a_while(cache, 0.3)
    if json.loads(DOCUMENT)["l2"]["kind"] == "sqlite":
        until(lambda: is_level(cache))
        (FOLDER / "store").rename(FOLDER / "away")
        # Nobody writes it again: it is brought there.
        for _ in range(4):
            may(cache.set, "owed", b"token")
        for_a_while(cache, 0.3)
        (FOLDER / "away").rename(FOLDER / "store")
    for_a_while(cache, 0.3)
    until(lambda: is_level(cache))
    for _ in range(3):
        # A point that is seldom reached may still cost one of these its link.
        until(lambda: is_level(cache) and is_removed(cache))
    assert cache.close()
    print(f"{panics} calls were told of a panic")


main()
