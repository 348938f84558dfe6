"""Bad inputs that only the C functions take: handles, pointers, lengths."""

from __future__ import annotations

import ctypes
import random
from typing import Any, Callable

import tokencache
from bad_inputs_support import VALUE, at_once, fails, is_status, never, open_raw, set_raw
from tokencache import _native
from tokencache._native import ABI_VERSION, NTS, SetOptions, Status
from tokencache.library import lib

INVALID = Status.INVALID_ARGUMENT
#: No memory is there: whoever looks before it leaps is killed.
NOWHERE = ctypes.cast(64, ctypes.c_char_p)
HUGE = [2**64 - 2, 2**63, 2**63 - 1, 2**40]


def with_every_function(status: Status, handle: int | None, key: Any = b"alice", length: int = 5) -> None:
    """Check that every function that takes a handle and a key answers so, and writes nothing."""
    value, size, version = VALUE(), ctypes.c_size_t(77), ctypes.c_uint64(77)
    buffer = ctypes.create_string_buffer(8)
    size_at, version_at = ctypes.byref(size), ctypes.byref(version)
    is_status(status, lib.tc_get(handle, key, length, ctypes.byref(value)))
    is_status(status, lib.tc_peek(handle, key, length, ctypes.byref(value)))
    is_status(status, lib.tc_get_into(handle, key, length, buffer, 8, size_at))
    is_status(status, lib.tc_set(handle, key, length, b"token", 5, None, version_at))
    value_at = ctypes.byref(value)
    is_status(status, lib.tc_set_merged(handle, key, length, None, b"{}", 2, None, version_at, value_at))
    is_status(status, lib.tc_remove(handle, key, length))
    is_status(status, lib.tc_touch(handle, key, length))
    is_status(status, lib.tc_get_async(handle, key, length, never, None))
    is_status(status, lib.tc_set_async(handle, key, length, b"token", 5, None, never, None))
    is_status(status, lib.tc_remove_async(handle, key, length, never, None))
    assert not value and size.value == version.value == 77


def refused(handle: int | None) -> None:
    value = VALUE()
    with_every_function(Status.INVALID_HANDLE, handle)
    none = _native.DestroyFn()
    is_status(Status.INVALID_HANDLE, lib.tc_clear(handle))
    is_status(Status.INVALID_HANDLE, lib.tc_configure(handle, b'{"version": 1}', NTS))
    is_status(Status.INVALID_HANDLE, lib.tc_flush(handle, 1))
    is_status(Status.INVALID_HANDLE, lib.tc_on_retry(handle, _native.RetryFn(), None, none))
    is_status(Status.INVALID_HANDLE, lib.tc_on_log(handle, 1, _native.LogFn(), None, none))
    is_status(Status.INVALID_HANDLE, lib.tc_stats(handle, ctypes.byref(value)))
    is_status(Status.INVALID_HANDLE, lib.tc_close(handle), "handle")


def random_handle() -> None:
    handle = open_raw()
    for _ in range(2000):
        refused(random.getrandbits(64))
    for bit in range(64):
        refused(handle ^ 1 << bit)
    is_status(Status.OK, lib.tc_close(handle))


def closed_handle() -> None:
    closed = open_raw()
    is_status(Status.OK, lib.tc_close(closed))
    refused(closed)
    open_raw()
    refused(closed)


def closed_twice() -> None:
    for _ in range(50):
        handle, statuses = open_raw(), []
        at_once(4, lambda: statuses.append(lib.tc_close(handle)))
        assert sorted(statuses) == [Status.INVALID_HANDLE] * 3 + [Status.OK], statuses
    with tokencache.open({"version": 1}) as cache:
        assert cache.close() and cache.close()
        fails(Status.INVALID_HANDLE, cache.get, "alice")


def handle_of_another_kind() -> None:
    handle, value = open_raw(), VALUE()
    is_status(Status.OK, set_raw(handle, b"alice"))
    is_status(Status.OK, lib.tc_get(handle, b"alice", 5, ctypes.byref(value)))
    refused(ctypes.cast(value, ctypes.c_void_p).value)
    refused(value.contents.data)
    refused(id(value))
    lib.tc_value_release(value)


def null_key() -> None:
    handle = open_raw()
    for length in (0, 5, NTS):
        with_every_function(INVALID, handle, None, length)
    fails_as_type(lambda cache: cache.get(None))


def fails_as_type(call: Callable[[tokencache.Cache], Any]) -> None:
    """The package does not let it get as far as the library."""
    with tokencache.open({"version": 1}) as cache:
        try:
            call(cache)
        except TypeError:
            return
    raise AssertionError("A TypeError was expected.")


def null_empty_value() -> None:
    handle, size = open_raw(), ctypes.c_size_t(77)
    is_status(Status.OK, lib.tc_set(handle, b"alice", 5, None, 0, None, None))
    is_status(Status.OK, lib.tc_get_into(handle, b"alice", 5, None, 0, ctypes.byref(size)))
    assert size.value == 0
    with tokencache.open({"version": 1}) as cache:
        cache.set("alice", b"")
        entry = cache.get_entry("alice")
        assert cache.get("alice") == b"" and entry is not None and entry.data == b""


def null_value() -> None:
    handle = open_raw()
    is_status(INVALID, lib.tc_set(handle, b"alice", 5, None, 1, None, None), "data")
    is_status(INVALID, lib.tc_set_async(handle, b"alice", 5, None, 1, None, never, None), "data")
    fails_as_type(lambda cache: cache.set("alice", None))


def impossible_length() -> None:
    handle, other = open_raw(), ctypes.c_void_p()
    for length in HUGE:
        with_every_function(INVALID, handle, NOWHERE, length)
        too_large = Status.VALUE_TOO_LARGE
        is_status(too_large, lib.tc_set(handle, b"alice", 5, 64, length, None, None))
        is_status(too_large, lib.tc_set_async(handle, b"alice", 5, 64, length, None, never, None))
        opened = lib.tc_open(ABI_VERSION, NOWHERE, length, ctypes.byref(other))
        assert opened in (INVALID, Status.INVALID_CONFIG) and not other.value
        is_status(opened, lib.tc_configure(handle, NOWHERE, length))


def options_of_another_size() -> None:
    class Larger(ctypes.Structure):
        _fields_ = [("known", SetOptions), ("unknown", ctypes.c_uint64)]

    handle = open_raw()
    for size, unknown, status in [
        (ctypes.sizeof(Larger), 0, Status.OK),
        (ctypes.sizeof(Larger), 1, INVALID),
        (ctypes.sizeof(SetOptions), 1, Status.OK),
        (8, 1, Status.OK),
        (7, 0, INVALID),
        (0, 0, INVALID),
        (2**64 - 1, 0, INVALID),
    ]:
        larger = Larger(SetOptions(size), unknown)
        is_status(status, set_raw(handle, b"alice", options=ctypes.byref(larger.known)))


def unknown_flag() -> None:
    handle = open_raw()
    for bit in range(1, 64):
        options = SetOptions(ctypes.sizeof(SetOptions), flags=1 << bit)
        is_status(INVALID, set_raw(handle, b"alice", options=ctypes.byref(options)), "flags")
    for level in (0, -1, 5, 2**31 - 1, -(2**31)):
        is_status(INVALID, lib.tc_on_log(handle, level, _native.LogFn(), None, _native.DestroyFn()), "level")


def outputs_refused(handle: int, place: int | None) -> None:
    def at(kind: Any) -> Any:
        return ctypes.cast(place, ctypes.POINTER(kind))

    is_status(INVALID, lib.tc_get(handle, b"alice", 5, at(VALUE)))
    is_status(INVALID, lib.tc_peek(handle, b"alice", 5, at(VALUE)))
    is_status(INVALID, lib.tc_get_into(handle, b"alice", 5, None, 0, at(ctypes.c_size_t)))
    is_status(INVALID, lib.tc_stats(handle, at(VALUE)))
    is_status(INVALID, lib.tc_open(ABI_VERSION, b'{"version": 1}', NTS, at(ctypes.c_void_p)))


def null_output() -> None:
    handle = open_raw()
    is_status(Status.OK, set_raw(handle, b"alice"))
    outputs_refused(handle, None)
    is_status(INVALID, lib.tc_get_async(handle, b"alice", 5, _native.DoneFn(), None))


def misaligned_output() -> None:
    handle, place = open_raw(), ctypes.create_string_buffer(64)
    address = (ctypes.addressof(place) + 15) // 16 * 16
    is_status(Status.OK, set_raw(handle, b"alice"))
    for offset in range(1, 8):
        outputs_refused(handle, address + offset)
        version = ctypes.cast(address + offset, ctypes.POINTER(ctypes.c_uint64))
        is_status(INVALID, lib.tc_set(handle, b"alice", 5, b"token", 5, None, version))
        options = ctypes.cast(address + offset, ctypes.POINTER(SetOptions))
        is_status(INVALID, set_raw(handle, b"alice", options=options))


def buffer_too_small() -> None:
    handle, size = open_raw(), ctypes.c_size_t()
    is_status(Status.OK, set_raw(handle, b"alice"))
    for room in range(5):
        buffer = ctypes.create_string_buffer(b"untouched")
        is_status(Status.BUFFER_TOO_SMALL, lib.tc_get_into(handle, b"alice", 5, buffer, room, ctypes.byref(size)))
        assert size.value == 5 and buffer.value == b"untouched"
    with tokencache.open({"version": 1}) as cache:
        for length in (16 * 1024, 16 * 1024 + 1, 1024 * 1024):
            cache.set("alice", bytes(length))
            assert cache.get("alice") == bytes(length)


ROWS = {
    1: lambda: refused(None),
    2: random_handle,
    3: closed_handle,
    4: closed_twice,
    5: handle_of_another_kind,
    7: null_key,
    8: null_empty_value,
    9: null_value,
    10: impossible_length,
    18: options_of_another_size,
    19: unknown_flag,
    20: null_output,
    21: buffer_too_small,
    22: misaligned_output,
}
