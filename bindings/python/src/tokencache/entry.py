"""An entry read without a copy."""

from __future__ import annotations

import ctypes
from datetime import datetime
from types import TracebackType
from typing import Any, NoReturn

from ._native import VALUE_RETIRED_KEY, Status, Tier
from .library import lib
from .times import from_ms

_release = lib.tc_value_release
#: One more reference to a value.
retain = lib.tc_value_retain


class _Reference:
    """One reference to a value of the library, dropped with this object."""

    __slots__ = ("pointer",)

    def __init__(self, pointer: Any) -> None:
        self.pointer = pointer

    def __del__(self, release: Any = _release) -> None:
        release(self.pointer)


class Entry:
    """An entry of the cache: its bytes, which are not copied, and what is known of them.

    It stays valid after the entry was replaced or removed and after the cache was closed. Release it, or use it in a
    ``with`` block, to let go of the memory early; a slice of ``view`` that is still in use keeps the bytes alive.

    Attributes:
        view: The bytes, read-only, in the library's memory.
        version: Pass it as ``expected_version`` to ``Cache.set``.
        degraded: L2 could not be asked whether this is still the newest.
        retired_key: It is sealed under a retired key; store it again to move it to the active one.

    Example:
        >>> with cache.get_entry("alice") as entry:
        ...     claims = json.loads(entry.data)
    """

    __slots__ = ("view", "version", "_written_at_ms", "_expires_at_ms", "_tier", "degraded", "retired_key")

    view: memoryview
    version: int
    degraded: bool
    retired_key: bool

    def __init__(self, pointer: Any, status: int) -> None:
        # First, so that whatever fails here gives it back.
        reference = _Reference(pointer)
        value = pointer.contents
        # The array holds the reference and every view holds the array, so no view can outlive the bytes.
        array = (ctypes.c_char * value.len).from_address(value.data or 0)
        array.reference = reference
        self.view = memoryview(array).cast("B").toreadonly()
        self.version = value.version
        # Most readers ask for none of these.
        self._written_at_ms, self._expires_at_ms, self._tier = value.written_at_ms, value.expires_at_ms, value.tier
        self.degraded = status == Status.DEGRADED
        self.retired_key = bool(value.flags & VALUE_RETIRED_KEY)

    @property
    def written_at(self) -> datetime | None:
        """When it was written, or None when the writer did not say.

        Example:
            >>> entry.written_at
        """
        return from_ms(self._written_at_ms)

    @property
    def expires_at(self) -> datetime | None:
        """Its absolute end, or None. A sliding end is not counted.

        Example:
            >>> entry.expires_at
        """
        return from_ms(self._expires_at_ms)

    @property
    def tier(self) -> Tier:
        """Which tier answered.

        Example:
            >>> entry.tier.name
            'L1'
        """
        return Tier(self._tier)

    @property
    def data(self) -> bytes:
        """A copy of the bytes.

        Raises:
            ValueError: The entry was released.

        Example:
            >>> claims = json.loads(entry.data)
        """
        return bytes(self.view)

    def release(self) -> None:
        """Let go of the bytes. ``view`` and ``data`` raise ValueError afterwards.

        Example:
            >>> entry.release()
        """
        self.view.release()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("An Entry is memory of this process and cannot be pickled or copied; its `data` can.")

    def _reference(self) -> _Reference:
        """The value for a call of the library, to be held until it returns. ValueError when it was released."""
        array: Any = self.view.obj
        reference: _Reference = array.reference
        return reference

    def __len__(self) -> int:
        return len(self.view)

    def __enter__(self) -> Entry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        # Never the bytes: an entry is printed by accident more often than on purpose.
        return f"<tokencache.Entry version={self.version} tier={self.tier.name} degraded={self.degraded}>"


def take(pointer: Any) -> bytes:
    """A copy of a value's bytes; the value is released."""
    value = pointer.contents
    try:
        return ctypes.string_at(value.data, value.len) if value.len else b""
    finally:
        _release(pointer)
