"""The calls that an event loop can await.

They need no thread of their own: the library answers on one of its threads, which hands the answer to the loop.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Union, cast

from . import _native
from .completions import data_of, entry_of, start, version_of
from .cpython import Hit
from .entry import Entry
from .errors import check
from .library import lib
from .options import Key, key_bytes, set_options, value_bytes
from .times import Duration
from .written import Written

if TYPE_CHECKING:
    from .cache import Cache
    from .msal import User

_ValuePointer = ctypes.POINTER(_native.Value)
_peek = lib.tc_peek
_get_async = lib.tc_get_async
_set_async = lib.tc_set_async
_remove_async = lib.tc_remove_async


class AsyncMethods:
    """The asynchronous half of Cache."""

    _handle: ctypes.c_void_p
    _hit: Hit

    async def aget(self, key: Key) -> bytes | None:
        """Read as ``get`` does, without blocking the event loop.

        What L1 holds is returned at once; only a question to L2 suspends the coroutine.

        Args:
            key: str or bytes.

        Returns:
            The bytes, or None when there is no live entry.

        Raises:
            L2Error: Nothing was found and L2 could not be asked.
            SealError: The entry in L2 cannot be opened.

        Example:
            >>> token = await cache.aget("alice")
        """
        data = self._hit(key)
        if data is not None:
            return data
        key = key_bytes(key)
        answer: bytes | None = await start(data_of, _get_async, self._handle, key, len(key))
        return answer

    async def aget_entry(self, key: Key) -> Entry | None:
        """Read as ``get_entry`` does, without blocking the event loop.

        Args:
            key: str or bytes.

        Returns:
            The entry, or None when there is none that lives.

        Raises:
            L2Error: Nothing was found and L2 could not be asked.
            SealError: The entry in L2 cannot be opened.

        Example:
            >>> entry = await cache.aget_entry("alice")
            >>> await cache.aset("alice", renewed, expected_version=entry.version)
        """
        key = key_bytes(key)
        pointer, status = self._look(key)
        if status != _native.Status.NOT_FOUND:
            return Entry(pointer, status)
        entry: Entry | None = await start(entry_of, _get_async, self._handle, key, len(key))
        return entry

    def user(self, key: Key, *, ttl: Duration | None = None, sliding: Duration | None = None) -> User:
        """MSAL's token cache of one user, or of one app, around an ``async with`` block.

        It is read when the block begins and stored when it ends, without blocking the event loop; in between MSAL
        works in memory. Needs MSAL.

        Args:
            key: The partition: ``home_account_id`` of a user, ``tokencache.msal.app_key`` of an app.
            ttl: How long the entry lives after its last change; as configured when left out.
            sliding: A window that every look renews.

        Returns:
            What ``async with`` takes; it gives the ``token_cache`` for an application of MSAL.

        Raises:
            ImportError: MSAL is not installed.

        Example:
            >>> async with cache.user(home_account_id) as token_cache:
            ...     app = msal.ConfidentialClientApplication("app", token_cache=token_cache, ...)
            ...     result = await asyncio.to_thread(app.acquire_token_silent, scopes, account)
        """
        from .msal import User

        return User(cast("Cache", self), key, ttl=ttl, sliding=sliding)

    def _look(self, key: bytes) -> tuple[Any, int]:
        """What L1 holds of a key, and whether it does."""
        pointer = _ValuePointer()
        return pointer, check(_peek(self._handle, key, len(key), ctypes.byref(pointer)))

    async def aset(self, key: Key, value: Union[bytes, bytearray, memoryview], **options: Any) -> Written:
        """Store as ``set`` does, with the same options, without blocking the event loop.

        A coroutine that is cancelled does not take the write back: it is done whole or not at all, and nobody hears
        which.

        Args:
            key: str or bytes.
            value: Any bytes-like object; it is copied before this suspends.
            **options: Those of ``set``: ttl, expires_at, sliding, expected_version, local_only.

        Returns:
            The version written, an int that also says whether it is owed to L2.

        Raises:
            Conflict: ``expected_version`` is not what is there; nothing was written.

        Example:
            >>> await cache.aset("alice", token, ttl=3600)
        """
        key, data = key_bytes(key), value_bytes(value)
        chosen = set_options(**options)
        written: Written = await start(version_of, _set_async, self._handle, key, len(key), data, len(data), chosen)
        return written

    async def aremove(self, key: Key) -> bool:
        """Remove as ``remove`` does, without blocking the event loop.

        Args:
            key: str or bytes.

        Returns:
            Whether it is gone from L2; False while that is owed.

        Raises:
            L2Error: L2 failed and the removal could not be kept for later.

        Example:
            >>> await cache.aremove("alice")
            True
        """
        key = key_bytes(key)
        written: Written = await start(version_of, _remove_async, self._handle, key, len(key))
        return not written.owed
