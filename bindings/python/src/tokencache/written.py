"""What a write answers."""

from __future__ import annotations

from ._native import Status


class Written(int):
    """The version under which a write was stored, and whether L2 has it; 0 when it had expired already.

    Attributes:
        owed: L2 did not take it: it is kept here, answers here, and is brought to L2 when L2 is back.

    Example:
        >>> version = cache.set("alice", token)
        >>> version.owed
        False
    """

    owed: bool

    def __new__(cls, version: int, status: int = Status.OK) -> Written:
        """Of a ``version``, as the library's ``status`` says."""
        written = super().__new__(cls, version)
        written.owed = status == Status.DEGRADED
        return written
