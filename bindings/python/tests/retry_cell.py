"""One cell of the retry table: a fault, an operation and a kind of callback, measured."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import threading
import time
import unittest
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import tokencache
from faults import Fault
from support import wait_until
from tokencache import GIVE_UP, Cache, Failure, Retry, TokencacheError, _native
from tokencache.library import lib

DEADLINE_MS = 500
#: Without a circuit, which would end the asking; test_circuit.py is about it.
RESILIENCE = {"deadline_ms": DEADLINE_MS, "max_attempts": 2, "backoff_ms": 1, "circuit_failures": 0, "close_ms": 0}
#: What a callback reconfigures the cache to: more of everything.
MORE = {**RESILIENCE, "deadline_ms": 5000, "max_attempts": 5}

# The package complains of callbacks that raise; here they are meant to.
logging.getLogger("tokencache").addHandler(logging.NullHandler())

KEY, OLD, NEW = b"key", b"old", b"new"

OPERATIONS: dict[str, Callable[[Cache], Any]] = {
    "get": lambda cache: cache.get(KEY),
    "set": lambda cache: cache.set(KEY, NEW),
    "remove": lambda cache: cache.remove(KEY),
    "touch": lambda cache: cache.touch(KEY),
}


@dataclass(frozen=True)
class Measured:
    """How a call went, as the application sees it."""

    status: str
    calls: int
    attempts: int
    elapsed_ms: float

    def __str__(self) -> str:
        return f"{self.status} {self.calls}/{self.attempts} {self.elapsed_ms:.0f}"


class Witness:
    """A callback of some kind, and what it was told."""

    def __init__(self, cache: Cache, fault: Any) -> None:
        self.cache = cache
        self.fault = fault
        self.failures: list[Failure] = []
        self.released = threading.Event()

    def watch(self, kind: str) -> None:
        if kind == "nonsense":
            self._answer_nonsense()
        elif kind != "no-callback":
            self.cache.on_retry(getattr(self, "_" + kind.replace("-", "_")))

    def _retry(self, failure: Failure) -> Any:
        self.failures.append(failure)
        return Retry()

    def _give_up(self, failure: Failure) -> Any:
        self.failures.append(failure)
        return GIVE_UP

    def _raises(self, failure: Failure) -> Any:
        self.failures.append(failure)
        raise RuntimeError("The callback of this test raises.")

    def _blocks(self, failure: Failure) -> Any:
        self.failures.append(failure)
        self.released.wait()
        return Retry()

    def _reconfigures(self, failure: Failure) -> Any:
        self.failures.append(failure)
        self.cache.configure(self.fault.remedy(resilience=MORE))
        return Retry()

    def _answer_nonsense(self) -> None:
        """Without the package in between, which would not let nonsense through."""

        def answer(_: Any, failure: Any, __: Any) -> int:
            self.failures.append(failure.contents.attempt)
            return 77

        self._function = _native.RetryFn(answer)
        assert lib.tc_on_retry(self.cache._handle, self._function, None, _native.DestroyFn()) == 0


@contextlib.contextmanager
def before(kind_of_fault: type[Fault], **resilience: int) -> Iterator[tuple[Fault, Cache]]:
    """A fault to come, and a cache whose L1 is empty and whose L2 holds an entry."""
    with tempfile.TemporaryDirectory() as folder, kind_of_fault(Path(folder)) as fault:
        document = fault.document(resilience={**RESILIENCE, **resilience})
        with tokencache.open(document) as cache:
            cache.set(KEY, OLD, sliding=3600)
        fault.settle()
        if fault.comes_first:
            fault.inject()
        with tokencache.open(document) as cache:
            if not fault.comes_first:
                # So that it has a connection for the fault to happen to.
                cache.get(KEY)
                cache.clear()
            yield fault, cache


@contextlib.contextmanager
def under(kind_of_fault: type[Fault], **resilience: int) -> Iterator[tuple[Fault, Cache]]:
    """As ``before``, and the fault has come."""
    with before(kind_of_fault, **resilience) as (fault, cache):
        if not fault.comes_first:
            fault.strike(cache)
        yield fault, cache


def require(kind_of_fault: type[Fault]) -> None:
    """Skip the whole test, and not each of its parts, where the fault cannot be had."""
    with under(kind_of_fault):
        pass


def measure(kind_of_fault: type[Fault], operation: str, kind: str) -> Measured:
    """Call the operation under the fault, with a callback of the kind."""
    with under(kind_of_fault) as (fault, cache):
        witness = Witness(cache, fault)
        if kind == "reconfigures":
            fault.prepare_remedy()
        witness.watch(kind)
        retries = cache.stats()["l2"]["retries"]
        try:
            status, elapsed_ms = timed(OPERATIONS[operation], cache)
            l2 = cache.stats()["l2"]
            # The last answer may be asked for when the caller has left at its deadline.
            wait_until(lambda: len(witness.failures) >= l2["retry_callbacks"])
        finally:
            witness.released.set()
        return Measured(status, len(witness.failures), 1 + l2["retries"] - retries, elapsed_ms)


def timed(operation: Callable[[Cache], Any], cache: Cache) -> tuple[str, float]:
    """How a call ended, and after how many milliseconds."""
    owed = owed_writes(cache)
    begin = time.monotonic()
    try:
        operation(cache)
        status = "OK"
    except TokencacheError as error:
        status = getattr(error.status, "name", str(error.status))
    elapsed_ms = (time.monotonic() - begin) * 1000
    # The package does not tell it from a write that L2 has.
    return "DEGRADED" if owed_writes(cache) > owed else status, elapsed_ms


def owed_writes(cache: Cache) -> int:
    """How many writes were kept for later so far."""
    return int(cache.stats()["l2"]["owed_writes"])


def print_table(faults: Iterable[type[Fault]], kinds: Iterable[str]) -> None:
    """Measure every cell, for a person."""
    kinds = list(kinds)
    print(f"Each cell: status calls/attempts ms; the deadline is {DEADLINE_MS} ms.\n")
    width = 24
    print(f"{'fault':<19}{'operation':<11}" + "".join(f"{kind:<{width}}" for kind in kinds))
    for fault in faults:
        for operation in OPERATIONS:
            print(f"{fault.name:<19}{operation:<11}", end="", flush=True)
            try:
                for kind in kinds:
                    print(f"{measure(fault, operation, kind)!s:<{width}}", end="", flush=True)
                print()
            except unittest.SkipTest as skipped:
                print(f"skipped: {skipped}")
