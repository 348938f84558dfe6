"""Brings changes of an MSAL blob into the tiers, onto whatever another server has stored meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Callable, Optional, Protocol

from .changes import Change, applied, decode, encode
from .entry import Entry
from .errors import Conflict, L2Busy, L2Error, L2Timeout
from .options import ABSENT, Key

if TYPE_CHECKING:
    from .aio import AsyncMethods
    from .cache import Cache

_Read = Callable[[], Coroutine[Any, Any, Optional[Entry]]]
_Write = Callable[[bytes, Optional[int]], Coroutine[Any, Any, int]]

#: How often a write that L2 was too busy for is tried again, before it is owed.
_ATTEMPTS = 3
#: How often somebody may be faster in a row where a read finds nothing, before it is taken for unreadable.
_UNSEEN = 3


class Holder(Protocol):
    """Who has the blob in memory."""

    def _known(self) -> bytes:
        """The blob in memory."""

    def _hold(self, blob: bytes, version: int) -> None:
        """Have this blob in memory from now on."""


def store(cache: Cache, key: Key, holder: Holder, changes: list[Change], **lifetime: Any) -> None:
    """Store changes with compare-and-swap, again until they are on what is newest; owed while L2 is down.

    Raises:
        L2Error: L2 failed and the write could not be kept for later.
        SealError: The entry that is there cannot be opened.
    """

    async def read() -> Optional[Entry]:
        return cache.get_entry(key)

    async def write(blob: bytes, expected: Optional[int]) -> int:
        return cache.set(key, blob, expected_version=expected, **lifetime)

    # Neither suspends, so one step is the whole way.
    with contextlib.suppress(StopIteration):
        _store(holder, changes, read, write).send(None)


async def astore(cache: AsyncMethods, key: Key, holder: Holder, changes: list[Change], **lifetime: Any) -> None:
    """Store as ``store`` does, without blocking the event loop."""

    async def read() -> Optional[Entry]:
        return await cache.aget_entry(key)

    async def write(blob: bytes, expected: Optional[int]) -> int:
        return await cache.aset(key, blob, expected_version=expected, **lifetime)

    await _store(holder, changes, read, write)


async def _store(holder: Holder, changes: list[Change], read: _Read, write: _Write) -> None:
    busy = unseen = 0
    while True:
        try:
            entry = await read()
        except L2Error:  # What is in memory is what is known.
            blob = encode(applied(decode(holder._known()), changes))
            break
        blob = encode(applied(decode(b"" if entry is None else entry.data), changes))
        unseen = unseen + 1 if entry is None else 0
        if unseen > _UNSEEN:
            break
        try:
            holder._hold(blob, await write(blob, ABSENT if entry is None else entry.version))
            return
        except Conflict:
            continue
        except (L2Busy, L2Timeout):
            busy += 1
            if busy == _ATTEMPTS or (entry is not None and entry.degraded):
                break
        except L2Error:
            break
    # An L2 that is down compares no versions; a write without one is owed to it.
    holder._hold(blob, await write(blob, None))
