"""Bad inputs to the package: keys, values, documents, times, callbacks."""

from __future__ import annotations

import gc
import logging
import math
import threading
from datetime import timedelta
from typing import Any, Callable

import tokencache
from bad_inputs_support import PATIENT, at_once, document, fails, l2_comes_back, l2_goes_away, until
from tokencache import GIVE_UP, Level, Retry, Status

INVALID = Status.INVALID_ARGUMENT
CONFIG = Status.INVALID_CONFIG


def closed_while_read() -> None:
    for config in [{"version": 1}] * 10 + [document()] * 5:
        cache = tokencache.open(config)
        for number in range(25):
            cache.set(f"key {number}", b"token")
        reading = threading.Semaphore(0)

        def read() -> None:
            for number in range(10**9):
                try:
                    assert cache.get(f"key {number % 50}") in (b"token", None)
                except (tokencache.InvalidHandle, tokencache.Closed):
                    break
                if number == 20:
                    reading.release()

        def close() -> None:
            for _ in range(8):
                reading.acquire()
            assert cache.close()

        bodies = iter([close] + [read] * 8)
        at_once(9, lambda: next(bodies)())


def value_too_large() -> None:
    with tokencache.open(document()) as cache:
        cache.set("alice", bytes(1 << 20))
        fails(Status.VALUE_TOO_LARGE, cache.set, "alice", bytes((1 << 20) + 1), says="1048577")


def empty_key() -> None:
    with tokencache.open(document()) as cache:
        for call in (cache.get, cache.peek, cache.get_entry, cache.remove, cache.touch):
            fails(INVALID, call, "", says="empty")
        fails(INVALID, cache.set, b"", b"token")


def key_too_long() -> None:
    with tokencache.open(document(limits={"max_key_bytes": 65536})) as cache:
        cache.set("k" * 65536, b"token")
        fails(INVALID, cache.set, "k" * 65537, b"token", says="65537")
        fails(INVALID, cache.get, "ü" * 32769, says="65538")


def key_of_any_bytes() -> None:
    keys = [b"\0", b"a\0b", b"a\0c", b"a", b"\n", b"{a}b", b"\xff", b"\xc3\x28", b"%s%n", "ü", "\U0001f512", "_"]
    with tokencache.open(document()) as cache:
        for number, key in enumerate(keys):
            cache.set(key, bytes([number]))
        for _ in range(2):
            assert [cache.get(key) for key in keys] == [bytes([number]) for number in range(len(keys))]
            cache.clear()
        fails(INVALID, cache.get, "__tokencache:schema", says="__tokencache:")


def document_not_utf8() -> None:
    fails(CONFIG, tokencache.open, b'{"version": 1, "name": "\xff"}', says="24")
    with tokencache.open({"version": 1}) as cache:
        fails(CONFIG, cache.configure, b"\xff", says="UTF-8")


def document_too_deep() -> None:
    for config in ("[" * 10000, '{"a":' * 10000, '{"version": 1, "name": ' + "[" * 10000 + "]" * 10000 + "}"):
        fails(CONFIG, tokencache.open, config)


def document_unknown_member() -> None:
    says = "did you mean capacity_bytes?"
    fails(CONFIG, tokencache.open, {"version": 1, "l1": {"capcity_bytes": 1000000}}, says=says)


def impossible_time() -> None:
    with tokencache.open(document()) as cache:
        for time in (-1, -0.0004, 0, 10**15, 2**63, math.nan, math.inf, -math.inf, timedelta(-1), timedelta.max, "1"):
            fails(INVALID, cache.set, "alice", b"token", ttl=time)
            fails(INVALID, cache.set, "alice", b"token", sliding=time)
        for time in (10**15, 2**63, math.nan, math.inf, "1"):
            fails(INVALID, cache.set, "alice", b"token", expires_at=time)
        assert cache.get("alice") is None


def value_after_close() -> None:
    cache = tokencache.open(document())
    cache.set("alice", b"token")
    from_l1 = cache.get_entry("alice")
    cache.clear()
    from_l2 = cache.get_entry("alice")
    cache.close()
    assert from_l1 is not None and from_l2 is not None and from_l1.tier != from_l2.tier
    view = from_l1.view
    del cache, from_l1
    gc.collect()
    assert bytes(view) == b"token" and from_l2.data == b"token"


def raises(*_: Any) -> Any:
    raise SystemExit("on purpose")


def callback_raises() -> None:
    logging.getLogger("tokencache").addHandler(logging.NullHandler())
    resilience = {**PATIENT, "max_attempts": 3, "backoff_ms": 0, "max_backoff_ms": 0}
    with tokencache.open(document(resilience=resilience)) as cache:
        cache.set("alice", b"token")
        calls = []
        cache.on_retry(lambda failure: (calls.append(failure.attempt), raises()))
        cache.on_log(raises, Level.DEBUG)
        l2_goes_away()
        fails(Status.L2_UNREACHABLE, cache.get, "bob")
        assert calls == [1, 2, 3], calls
        for nonsense in (77, "yes", object(), Retry("soon"), Retry(math.nan)):
            cache.on_retry(lambda failure: nonsense)
            fails(Status.L2_UNREACHABLE, cache.get, "bob")
        l2_comes_back()
        assert cache.get("alice") == b"token"
    # The interpreter goes while records still wait for their callback.
    with tokencache.open(document()) as cache:
        cache.on_log(lambda *_: sum(range(3000)), Level.DEBUG)
        cache.set("alice", b"token")
        for _ in range(300):
            cache.clear()
            cache.get("alice")


def from_each_callback(act: Callable[[tokencache.Cache], None]) -> None:
    """Act inside a log callback and inside a retry callback, each of a cache of its own."""
    failures: list[BaseException] = []
    acted = threading.Semaphore(0)

    def inside(cache: tokencache.Cache) -> None:
        try:
            act(cache)
        except BaseException as failure:
            failures.append(failure)
        acted.release()

    for register in ("log", "retry"):
        cache = tokencache.open(document())
        cache.set("alice", b"token")
        first = iter([cache])
        if register == "log":
            cache.on_log(lambda *_: [inside(cache) for cache in first], Level.DEBUG)
        else:
            cache.on_retry(lambda _: ([inside(cache) for cache in first], GIVE_UP)[1])
        l2_goes_away()
        try:
            cache.get("bob")
        except (tokencache.L2Unreachable, tokencache.Closed):
            pass
        assert acted.acquire(timeout=40)
        l2_comes_back()
        assert not failures, failures


def callback_uses_the_cache() -> None:
    def use(cache: tokencache.Cache) -> None:
        cache.set("inside", b"token", local_only=True)
        assert cache.get("inside") == cache.get("alice") == b"token"

    from_each_callback(use)


def callback_closes_the_cache() -> None:
    closed = []

    def close(cache: tokencache.Cache) -> None:
        assert cache.close()
        closed.append(cache)

    from_each_callback(close)

    def is_gone(cache: tokencache.Cache) -> bool:
        try:
            cache.get("alice")
        except tokencache.InvalidHandle:
            return True
        except tokencache.Closed:
            pass
        return False

    assert len(closed) == 2
    for cache in closed:
        until(lambda: is_gone(cache))


def callback_blocks() -> None:
    release = threading.Event()
    with tokencache.open(document(resilience={**PATIENT, "deadline_ms": 500})) as cache:
        cache.set("alice", b"token")
        cache.on_retry(lambda failure: (release.wait(), GIVE_UP)[1])
        l2_goes_away()
        keys = iter(range(12))
        at_once(12, lambda: fails(Status.L2_UNREACHABLE, cache.get, f"key {next(keys)}"))
        assert cache.get("alice") == b"token" and not release.is_set()
        release.set()
        l2_comes_back()
        assert cache.get("bob") is None


def callback_is_null() -> None:
    with tokencache.open(document()) as cache:
        cache.on_retry(raises)
        cache.on_retry(None)
        cache.on_log(raises, Level.DEBUG)
        cache.on_log(None)
        l2_goes_away()
        fails(Status.L2_UNREACHABLE, cache.get, "bob")
        l2_comes_back()


def callback_that_nobody_keeps() -> None:
    class Callback:
        calls = alive = 0

        def __init__(self) -> None:
            Callback.alive += 1

        def __del__(self) -> None:
            Callback.alive -= 1

        def __call__(self, *_: Any) -> Any:
            Callback.calls += 1
            gc.collect()
            return GIVE_UP

    cache = tokencache.open(document())
    cache.set("alice", b"token")
    l2_goes_away()
    for round in range(1, 51):
        cache.on_retry(Callback())
        gc.collect()
        fails(Status.L2_UNREACHABLE, cache.get, "bob")
        assert Callback.calls == round
    until(lambda: Callback.alive == 1)
    cache.on_log(Callback(), Level.DEBUG)
    cache.on_log(lambda *_: None, Level.DEBUG)
    l2_comes_back()
    cache.close()
    until(lambda: Callback.alive == 0)


ROWS = {
    6: closed_while_read,
    11: value_too_large,
    12: empty_key,
    13: key_too_long,
    14: key_of_any_bytes,
    15: document_not_utf8,
    16: document_too_deep,
    17: document_unknown_member,
    23: impossible_time,
    25: value_after_close,
    26: callback_raises,
    29: callback_uses_the_cache,
    30: callback_closes_the_cache,
    31: callback_blocks,
    32: callback_is_null,
    33: callback_that_nobody_keeps,
}
