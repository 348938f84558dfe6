"""A set that is merged with what others have made of the same value meanwhile."""

from __future__ import annotations

import ctypes
from typing import Any, Union

from . import _native
from .entry import Entry
from .errors import check
from .library import lib
from .options import Key, key_bytes, set_options, value_bytes
from .times import Duration, Instant, _Never


class MergeMethods:
    """The part of Cache that knows what an MSAL token cache is."""

    _handle: ctypes.c_void_p

    def set_merged(
        self,
        key: Key,
        base: Entry | None,
        value: Union[bytes, bytearray, memoryview],
        *,
        ttl: Duration | _Never | None = None,
        expires_at: Instant | None = None,
        sliding: Duration | None = None,
        local_only: bool = False,
    ) -> Entry | None:
        """Store an MSAL token cache that was changed, merged with what others have made of it meanwhile.

        Tokens that others have added stay, the newer of two stays, and what was removed stays away unless somebody
        wrote it later. While L2 is away it is kept with its base, and merged when L2 is back.

        Args:
            key: str or bytes.
            base: The entry that the change started from, as ``get_entry`` gave it and not yet released; None when there
                was none. It tells what was removed from what was never seen.
            value: What ``SerializableTokenCache.serialize`` or ``SerializeMsalV3`` made, as bytes.
            ttl: As for ``set``, like the other limits.
            expires_at: When it ends.
            sliding: A window that every read renews.
            local_only: Keep it in this process, off L2.

        Returns:
            What is stored: the value, or what came of it and others. None when nothing of it was left to store.

        Raises:
            InvalidArgument: The value or the base is not an MSAL token cache.
            Conflict: Others came between until the deadline; nothing was written.
            L2Error: L2 failed and the write could not be kept for later, or what lies there is no MSAL token cache.

        Example:
            >>> base = cache.get_entry("alice")
            >>> tokens.deserialize(base.data.decode() if base else None)
            >>> app.acquire_token_silent(scopes, account)
            >>> stored = cache.set_merged("alice", base, tokens.serialize().encode())
        """
        key, data = key_bytes(key), value_bytes(value)
        options = set_options(ttl, expires_at, sliding, None, local_only)
        # Held, for another thread may release the entry meanwhile.
        held = None if base is None else base._reference()
        started_from = None if held is None else held.pointer
        merged = ctypes.POINTER(_native.Value)()
        status = check(
            _set_merged(self._handle, key, len(key), started_from, data, len(data), options, None, ctypes.byref(merged))
        )
        return Entry(merged, status) if merged else None


_set_merged: Any = lib.tc_set_merged
