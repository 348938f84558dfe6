"""What a host does to the package: forks, threads, signals, limits."""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import Any, Callable

import tokencache
from bad_inputs_support import FOLDER, VALUE, at_once, document, fails, is_status, resident_kib, until
from tokencache import Status, _native, library
from tokencache._native import NTS


def child_passes(body: Callable[[], None], leave: Callable[[int], Any] = os._exit) -> None:
    child = os.fork()
    if child == 0:
        try:
            body()
        except BaseException as failure:
            print(repr(failure), file=sys.stderr, flush=True)
            os._exit(1)
        leave(0)
    assert os.waitpid(child, 0)[1] == 0


def fork_after_open() -> None:
    cache, memory = tokencache.open(document()), tokencache.open({"version": 1})
    cache.set("alice", b"token")
    memory.set("alice", b"token")

    def body() -> None:
        assert cache.peek("alice") is None and memory.get("alice") is None
        assert cache.get("alice") == b"token"
        cache.set("child", b"token")
        memory.set("alice", b"another")

    for _ in range(20):
        child_passes(body)
        assert cache.get("child") == memory.get("alice") == b"token"
        cache.remove("child")


def child_exits() -> None:
    cache = tokencache.open(document())

    async def many(leave: Callable[[int], Any]) -> None:
        calls = asyncio.gather(*[cache.aset(f"key {number}", b"token") for number in range(20)])
        await asyncio.sleep(0)
        child_passes(lambda: None, leave)
        await calls

    # The exit of C, with its atexit handlers; Python's own would unwind the loop of the parent.
    for leave in [os._exit, ctypes.CDLL(None).exit] * 5:
        asyncio.run(many(leave))
    assert cache.get("key 1") == b"token"


def thousand_threads() -> None:
    memory, shared = tokencache.open({"version": 1}), tokencache.open(document())

    def visit() -> None:
        for cache in (memory, shared):
            cache.set("alice", b"token")
            assert cache.get("alice") == b"token"
            fails(Status.INVALID_ARGUMENT, cache.get, "")

    for _ in range(25):
        at_once(8, visit)
    before = resident_kib()
    for _ in range(125):
        at_once(8, visit)
    until(lambda: resident_kib() - before < 2048)


def storm_of_signals() -> None:
    alarms = []
    signal.signal(signal.SIGALRM, lambda *_: alarms.append(1))
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.siginterrupt(signal.SIGALRM, True)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    with tokencache.open(document()) as cache:
        while len(alarms) < 300:
            cache.set("alice", b"token")
            cache.clear()
            assert cache.get("alice") == b"token"
            signal.raise_signal(signal.SIGCHLD)
        signal.setitimer(signal.ITIMER_REAL, 0)


def limit(what: int, soft: int) -> None:
    resource.setrlimit(what, (soft, resource.getrlimit(what)[1]))


def out_of_memory() -> None:
    for capacity in (0, 1, 65535, -1, 1.5, "1", None):
        fails(Status.INVALID_CONFIG, tokencache.open, {"version": 1, "l1": {"capacity_bytes": capacity}})
    with tokencache.open({"version": 1, "l1": {"capacity_bytes": 2**53 - 1}}) as cache:
        cache.set("alice", b"token")
    sizes = {"limits": {"max_value_bytes": 512 << 20}, "l1": {"capacity_bytes": 2 * 10**9}}
    memory, shared = tokencache.open({"version": 1, **sizes}), tokencache.open(document(**sizes))
    large = bytes(256 << 20)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
    limit(resource.RLIMIT_AS, mapped + (32 << 20))
    fails(Status.OUT_OF_MEMORY, memory.set, "large", large)
    try:
        shared.set("large", large)
    except tokencache.TokencacheError:
        pass
    else:
        raise AssertionError("There was no room for it.")
    for cache in (memory, shared):
        cache.set("alice", b"token")
        assert cache.get("alice") == b"token"
    limit(resource.RLIMIT_AS, resource.RLIM_INFINITY)
    memory.set("large", large)


def out_of_files() -> None:
    memory = tokencache.open({"version": 1})
    other = document("other")
    limit(resource.RLIMIT_NOFILE, 3)
    try:
        tokencache.open(other)
    except tokencache.L2Error as error:
        assert "tokens.db" in str(error)
    else:
        raise AssertionError("There were no files for it.")
    memory.set("alice", b"token")
    assert memory.get("alice") == b"token"
    limit(resource.RLIMIT_NOFILE, 256)
    tokencache.open(other).close()


def two_copies() -> None:
    copy = str(FOLDER / "copy.so")
    shutil.copy(library.path, copy)
    theirs, handle, value = _native.load(copy), ctypes.c_void_p(), VALUE()
    is_status(Status.OK, theirs.tc_open(1, b'{"version": 1}', NTS, ctypes.byref(handle)))
    with tokencache.open(document()) as ours:
        ours.set("alice", b"ours")
        assert theirs.tc_get(handle, b"alice", 5, ctypes.byref(value)) == Status.NOT_FOUND
        is_status(Status.INVALID_HANDLE, library.lib.tc_get(handle, b"alice", 5, ctypes.byref(value)))
        assert theirs.tc_close(ours._handle) == Status.INVALID_HANDLE
        assert theirs.tc_set(handle, b"alice", 5, b"theirs", 6, None, None) == Status.OK
        assert ours.get("alice") == b"ours"
    assert theirs.tc_close(handle) == Status.OK


def small_stack() -> None:
    memory, shared = tokencache.open({"version": 1}), tokencache.open(document())

    def visit() -> None:
        for cache in (memory, shared):
            cache.set("alice", b"token")
            cache.clear()
            cache.get("alice")

    threading.stack_size(64 * 1024)
    at_once(4, visit)


def opened_many_times() -> None:
    def open_and_close(count: int, config: Any) -> None:
        for _ in range(count):
            with tokencache.open(config) as cache:
                cache.set("alice", b"token")

    shared = document()
    open_and_close(1000, {"version": 1})
    open_and_close(50, shared)
    files, threads, before = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task")), resident_kib()
    open_and_close(10000, {"version": 1})
    open_and_close(300, shared)
    assert len(os.listdir("/proc/self/fd")) <= files
    until(lambda: len(os.listdir("/proc/self/task")) <= threads and resident_kib() - before < 1024)


ROWS = {
    34: fork_after_open,
    35: child_exits,
    38: thousand_threads,
    39: storm_of_signals,
    41: out_of_memory,
    42: out_of_files,
    43: two_copies,
    44: small_stack,
    45: opened_many_times,
}
