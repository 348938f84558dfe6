"""What the rows of bad inputs share."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable

import tokencache
from tokencache._native import ABI_VERSION, DoneFn, Status, Value
from tokencache.library import lib

FOLDER = Path(sys.argv[2])
VALUE = ctypes.POINTER(Value)
PATIENT = {"deadline_ms": 60000, "close_ms": 60000, "circuit_failures": 0}


def document(name: str = "store", **members: Any) -> dict[str, Any]:
    """A cache with an L2 in a folder of its own, so that the folder's name can stand for an L2 that is away."""
    (FOLDER / name).mkdir(exist_ok=True)
    return {
        "version": 1,
        "l2": {"kind": "sqlite", "path": str(FOLDER / name / "tokens.db")},
        "encryption": {"algorithm": "none"},
        "logging": {"to": "none"},
        "resilience": PATIENT,
        **members,
    }


def l2_goes_away() -> None:
    (FOLDER / "store").rename(FOLDER / "away")


def l2_comes_back() -> None:
    (FOLDER / "away").rename(FOLDER / "store")


def is_status(expected: Status, got: int, *words: str) -> None:
    """Check a status, and that this thread's last error says the words."""
    said = lib.tc_last_error().decode()
    assert got == expected, f"{lib.tc_status_name(got).decode()}, not {expected!r}: {said}"
    for word in words:
        assert word in said, f"{word!r} is not in {said!r}"


def fails(expected: Status, call: Callable[..., Any], *arguments: Any, says: str = "", **options: Any) -> None:
    """Check that a call of the package raises the exception of a status."""
    try:
        call(*arguments, **options)
    except tokencache.TokencacheError as error:
        assert error.status == expected, repr(error)
        assert says in str(error), str(error)
    else:
        raise AssertionError(f"{expected!r} was not raised.")


def until(condition: Callable[[], bool]) -> None:
    """Wait for what other threads bring about."""
    end = time.monotonic() + 40
    while not condition():
        assert time.monotonic() < end, "This never came about."
        time.sleep(0.001)


def at_once(count: int, body: Callable[[], None]) -> None:
    """Run a body on that many threads; one that raises fails the row."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            body()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def open_raw(config: bytes = b'{"version": 1}') -> int:
    """A cache of the C functions."""
    handle = ctypes.c_void_p()
    is_status(Status.OK, lib.tc_open(ABI_VERSION, config, len(config), ctypes.byref(handle)))
    return handle.value or 0


def set_raw(handle: int | None, key: bytes | None, length: int | None = None, options: Any = None) -> int:
    length = len(key or b"") if length is None else length
    return lib.tc_set(handle, key, length, b"token", 5, options, None)


@DoneFn
def never(user_data: int, result: Any) -> None:
    """Takes no answer: a refused call has none."""
    print("A refused call was answered.", file=sys.stderr, flush=True)
    os._exit(1)


def resident_kib() -> int:
    """Of this process, without what the allocator keeps; under a sanitizer, which keeps freed memory on purpose, 0."""
    if "TOKENCACHE_SANITIZER" in os.environ:
        return 0
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4
