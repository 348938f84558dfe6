"""Brings changes of an MSAL blob into the tiers, onto whatever another server has stored meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Optional, Protocol

from .changes import Change, applied, decode, encode
from .entry import Entry
from .errors import Conflict, L2Error
from .options import ABSENT, Key

if TYPE_CHECKING:
    from .cache import Cache

#: How often others may come between before a caller hears of it.
_ATTEMPTS = 10


class Holder(Protocol):
    """Who has the blob in memory."""

    _entry: Optional[Entry]

    def _hold(self, entry: Optional[Entry]) -> None:
        """Have this entry in memory from now on."""


def store(cache: Cache, key: Key, holder: Holder, changes: list[Change], **lifetime: Any) -> None:
    """Store changes, merged with what others make of the entry meanwhile; owed, to be merged later, while L2 is down.

    Raises:
        Conflict: Others came between for as long as ten calls may take; nothing was written.
        L2Error: L2 failed and the write could not be kept for later.
        SealError: The entry that is there cannot be opened.
    """

    def merged() -> Optional[Entry]:
        try:
            base = cache.get_entry(key)
        except L2Error:
            base = holder._entry  # What is in memory is what is known.
        return cache.set_merged(key, base, _changed(base, changes), **lifetime)

    _hold_what_is_stored(holder, merged)


async def astore(
    cache: Cache, key: Key, holder: Holder, base: Optional[Entry], changes: list[Change], **lifetime: Any
) -> None:
    """Store changes that were made to ``base`` a while ago, without blocking the event loop; else as ``store`` does.

    They are not made again on what is there by now: that may be newer than they are, or removed since.
    """
    value = _changed(base, changes)
    try:
        await cache.aset(key, value, expected_version=ABSENT if base is None else base.version, **lifetime)
        return
    except (Conflict, L2Error):
        pass

    def merged() -> Optional[Entry]:
        return cache.set_merged(key, base, value, **lifetime)

    # There is no asynchronous merge. A call that waits needs a thread, and only where somebody was faster is there one.
    await asyncio.get_running_loop().run_in_executor(None, _hold_what_is_stored, holder, merged)


def _hold_what_is_stored(holder: Holder, merged: Callable[[], Optional[Entry]]) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            holder._hold(merged())
            return
        except Conflict:
            if attempt == _ATTEMPTS:
                raise


def _changed(entry: Optional[Entry], changes: list[Change]) -> bytes:
    return encode(applied(decode(b"" if entry is None else entry.data), changes))
