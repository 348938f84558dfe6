"""The cache."""

from __future__ import annotations

import atexit
import ctypes
import json
import weakref
from types import TracebackType
from typing import Any, NoReturn, Union

from . import _native, callbacks
from ._native import ABI_VERSION, Status
from .aio import AsyncMethods
from .cpython import hit_of
from .entry import Entry, take
from .errors import check
from .library import lib
from .listening import CallbackMethods
from .merge import MergeMethods
from .options import Config, Key, config_bytes, key_bytes, set_options, value_bytes
from .times import Duration, Instant, _Never, timeout_ms
from .written import Written

_ValuePointer = ctypes.POINTER(_native.Value)

#: What closes each open cache.
_closers: dict[int, weakref.finalize[..., Cache]] = {}


def _close(handle: int) -> int:
    if _closers.pop(handle, None) is None:
        return Status.OK  # Somebody else does it.
    status: int = lib.tc_close(handle)
    return status


@atexit.register
def _close_all() -> None:
    for handle in list(_closers):
        _close(handle)
    callbacks.settle()


class Cache(AsyncMethods, CallbackMethods, MergeMethods):
    """A token cache: memory in front (L1), and behind it a store that processes share (L2).

    Every method may be called from any thread. A cache is closed by ``close``, at the end of a ``with`` block, or when
    the interpreter exits.

    Args:
        config: The configuration document: a dict, or JSON as str or bytes.

    Raises:
        InvalidConfig: The document was refused; the message names the member.
        L2Error: With ``l2.require_at_open``, L2 is away.

    Example:
        >>> with tokencache.open({"version": 1}) as cache:
        ...     cache.set("alice", b"token", ttl=3600)
        ...     cache.get("alice")
        b'token'
    """

    def __init__(self, config: Config) -> None:
        document = config_bytes(config)
        handle = ctypes.c_void_p()
        check(lib.tc_open(ABI_VERSION, document, len(document), ctypes.byref(handle)))
        # An object of ctypes, which it passes faster than an int.
        self._handle, number = handle, handle.value or 0
        self._closer = weakref.finalize(self, _close, number)
        # Not by weakref: its turn at exit may come after that of `_close_all`, or before it, and then it calls nobody.
        self._closer.atexit = False
        _closers[number] = self._closer
        self._hit = hit_of(handle)

    def get(self, key: Key) -> bytes | None:
        """Read an entry.

        Args:
            key: str or bytes.

        Returns:
            The bytes, or None when there is no live entry.

        Raises:
            L2Error: Nothing was found and L2 could not be asked, so nobody knows.
            SealError: The entry in L2 cannot be opened.

        Example:
            >>> token = cache.get("alice")
        """
        data = self._hit(key)
        return self._copy(lib.tc_get, key) if data is None else data

    def get_entry(self, key: Key) -> Entry | None:
        """Read an entry with what is known of it, and without copying its bytes.

        Args:
            key: str or bytes.

        Returns:
            The entry, or None when there is none that lives.

        Raises:
            L2Error: Nothing was found and L2 could not be asked.
            SealError: The entry in L2 cannot be opened.

        Example:
            >>> entry = cache.get_entry("alice")
            >>> cache.set("alice", renewed, expected_version=entry.version)
        """
        found = self._read(lib.tc_get, key_bytes(key))
        return None if found is None else Entry(*found)

    def peek(self, key: Key) -> bytes | None:
        """Read from L1 alone, without waiting for L2.

        Args:
            key: str or bytes.

        Returns:
            The bytes; None also when the entry must be checked against L2 first.

        Raises:
            InvalidHandle: The cache has been closed.

        Example:
            >>> token = cache.peek("alice") or cache.get("alice")
        """
        data = self._hit(key)
        return self._copy(lib.tc_peek, key) if data is None else data

    def _copy(self, function: Any, key: Key) -> bytes | None:
        found = self._read(function, key_bytes(key))
        return None if found is None else take(found[0])

    def _read(self, function: Any, key: bytes) -> tuple[Any, int] | None:
        pointer = _ValuePointer()
        status = check(function(self._handle, key, len(key), ctypes.byref(pointer)))
        return None if status == Status.NOT_FOUND else (pointer, status)

    def set(
        self,
        key: Key,
        value: Union[bytes, bytearray, memoryview],
        *,
        ttl: Duration | _Never | None = None,
        expires_at: Instant | None = None,
        sliding: Duration | None = None,
        expected_version: int | None = None,
        local_only: bool = False,
    ) -> Written:
        """Store bytes in both tiers. The earliest of all limits holds.

        Args:
            key: str or bytes.
            value: Any bytes-like object; it is copied.
            ttl: How long it lives, in seconds or as a timedelta; NEVER to keep it until removed or evicted.
            expires_at: When it ends, as an aware datetime or in Unix seconds. A moment that is past removes the entry.
            sliding: A window that every read renews.
            expected_version: Store only over this version of the entry, or with ABSENT only where there is none.
            local_only: Keep it in this process, off L2.

        Returns:
            The version written, an int that also says whether it is owed to L2; 0 when it had expired already.

        Raises:
            Conflict: ``expected_version`` is not what is there; nothing was written.
            ValueTooLarge: It is longer than ``limits.max_value_bytes``.
            L2Error: L2 failed and the write could not be kept for later.

        Example:
            >>> version = cache.set("alice", token, ttl=timedelta(hours=1))
            >>> cache.set("alice", newer, expected_version=version)
        """
        key, data, version = key_bytes(key), value_bytes(value), ctypes.c_uint64()
        options = set_options(ttl, expires_at, sliding, expected_version, local_only)
        status = check(lib.tc_set(self._handle, key, len(key), data, len(data), options, ctypes.byref(version)))
        return Written(version.value, status)

    def remove(self, key: Key) -> bool:
        """Remove an entry from both tiers. It need not exist.

        Args:
            key: str or bytes.

        Returns:
            Whether it is gone from L2; False while that is owed, and then nobody finds it here any more.

        Raises:
            L2Error: L2 failed and the removal could not be kept for later.

        Example:
            >>> cache.remove("alice")
            True
        """
        key = key_bytes(key)
        return check(lib.tc_remove(self._handle, key, len(key))) == Status.OK

    def touch(self, key: Key) -> bool:
        """Renew a sliding entry without reading it.

        Args:
            key: str or bytes.

        Returns:
            Whether there is such an entry; True also when it does not slide.

        Raises:
            L2Error: L2 could not be asked.

        Example:
            >>> cache.touch("alice")
            True
        """
        key = key_bytes(key)
        return check(lib.tc_touch(self._handle, key, len(key))) != Status.NOT_FOUND

    def clear(self) -> None:
        """Empty L1 of this process, local-only entries included. L2 is untouched.

        Raises:
            InvalidHandle: The cache has been closed.

        Example:
            >>> cache.clear()
        """
        check(lib.tc_clear(self._handle))

    def configure(self, config: Config) -> None:
        """Apply a new configuration document while the cache is in use.

        Args:
            config: The whole document: a dict, or JSON as str or bytes.

        Raises:
            InvalidConfig: It was refused, or a member cannot change while open; nothing was applied.

        Example:
            >>> cache.configure({"version": 1, "l1": {"capacity_bytes": 10 * 1024 * 1024}})
        """
        document = config_bytes(config)
        check(lib.tc_configure(self._handle, document, len(document)))

    def flush(self, timeout: Duration) -> bool:
        """Wait until nothing is owed to L2.

        Args:
            timeout: How long, in seconds or as a timedelta.

        Returns:
            Whether everything is in L2; False while something is still owed.

        Raises:
            InvalidHandle: The cache has been closed.

        Example:
            >>> cache.flush(5)
            True
        """
        return check(lib.tc_flush(self._handle, timeout_ms(timeout))) == Status.OK

    def close(self) -> bool:
        """Flush within ``resilience.close_ms``, end every call, and free. Entries that were read stay valid.

        Closing again does nothing.

        Returns:
            Whether everything is in L2; False when writes were still owed.

        Raises:
            TokencacheError: The library could not close it.

        Example:
            >>> cache.close()
            True
        """
        taken = self._closer.detach()
        return taken is None or check(_close(*taken[2])) == Status.OK

    def stats(self) -> dict[str, Any]:
        """Counters and health.

        Returns:
            The library's JSON document, parsed.

        Raises:
            InvalidHandle: The cache has been closed.

        Example:
            >>> cache.stats()
        """
        pointer = _ValuePointer()
        check(lib.tc_stats(self._handle, ctypes.byref(pointer)))
        stats: dict[str, Any] = json.loads(take(pointer))
        return stats

    def protect(self, key: Key, data: Union[bytes, bytearray, memoryview]) -> bytes:
        """Seal ``data`` for ``key`` under the active key of the ring, as ``set`` would, and store nothing.

        Args:
            key: str or bytes.
            data: Any bytes-like object.

        Returns:
            The envelope.

        Raises:
            InvalidConfig: This cache has no key ring.

        Example:
            >>> envelope = cache.protect("alice", b"token")
        """
        key, value, pointer = key_bytes(key), value_bytes(data), _ValuePointer()
        check(lib.tc_protect(self._handle, key, len(key), value, len(value), ctypes.byref(pointer)))
        return take(pointer)

    def unprotect(self, key: Key, envelope: Union[bytes, bytearray, memoryview]) -> bytes | None:
        """Open an envelope that was sealed for ``key``, on this machine or another; None when it has ended.

        Args:
            key: str or bytes.
            envelope: What ``protect`` returned.

        Returns:
            What was sealed, or None when it has ended.

        Raises:
            SealError: It cannot be opened, and why.

        Example:
            >>> cache.unprotect("alice", envelope)
            b'token'
        """
        key, sealed, pointer = key_bytes(key), value_bytes(envelope), _ValuePointer()
        status = check(lib.tc_unprotect(self._handle, key, len(key), sealed, len(sealed), ctypes.byref(pointer)))
        return None if status == Status.NOT_FOUND else take(pointer)

    def __enter__(self) -> Cache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(
            "A Cache is open in this process and cannot be pickled or copied: pass its configuration document and "
            "open one there. A forked child may use the one it inherits."
        )

    def __repr__(self) -> str:
        return f"<tokencache.Cache {'open' if self._closer.alive else 'closed'}>"
