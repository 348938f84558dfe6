"""Tokencache: the token cache that every service can share.

Memory in front (L1), and behind it a store that processes share (L2).

Example:
    >>> import tokencache
    >>> with tokencache.open({"version": 1}) as cache:
    ...     cache.set("alice", b"token", ttl=3600)
    ...     cache.get("alice")
    b'token'
"""

from __future__ import annotations

from ._native import Decision, Level, Operation, Status, Tier
from .cache import Cache
from .callbacks import GIVE_UP, Failure, Retry
from .entry import Entry
from .errors import (
    AbiMismatch,
    Closed,
    Conflict,
    InvalidArgument,
    InvalidConfig,
    InvalidHandle,
    L2Busy,
    L2Denied,
    L2Error,
    L2Full,
    L2Protocol,
    L2Suspended,
    L2Timeout,
    L2Unreachable,
    OutOfMemory,
    Panic,
    SealBroken,
    SealError,
    SealForeign,
    SealRevokedKey,
    SealUnknownKey,
    SealUnsupported,
    SealWrongContext,
    TokencacheError,
    ValueTooLarge,
)
from .library import lib as _lib
from .options import ABSENT, Config
from .times import NEVER
from .written import Written

#: The version of the library that was loaded.
__version__: str = _lib.tc_version().decode()


def open(config: Config) -> Cache:
    """Open a cache.

    Does not wait for an L2 that is away: it is connected to in the background.

    Args:
        config: The configuration document: a dict, or JSON as str or bytes.

    Returns:
        The cache. Close it, or use it in a ``with`` block.

    Raises:
        InvalidConfig: The document was refused; the message names the member.
        L2Error: With ``l2.require_at_open``, L2 is away.

    Example:
        >>> cache = tokencache.open(
        ...     {"version": 1, "l2": {"kind": "sqlite", "path": "tokens.db"}, "encryption": {"algorithm": "none"}}
        ... )
    """
    return Cache(config)


__all__ = [
    "ABSENT",
    "GIVE_UP",
    "NEVER",
    "AbiMismatch",
    "Cache",
    "Closed",
    "Conflict",
    "Decision",
    "Entry",
    "Failure",
    "InvalidArgument",
    "InvalidConfig",
    "InvalidHandle",
    "L2Busy",
    "L2Denied",
    "L2Error",
    "L2Full",
    "L2Protocol",
    "L2Suspended",
    "L2Timeout",
    "L2Unreachable",
    "Level",
    "Operation",
    "OutOfMemory",
    "Panic",
    "Retry",
    "SealBroken",
    "SealError",
    "SealForeign",
    "SealRevokedKey",
    "SealUnknownKey",
    "SealUnsupported",
    "SealWrongContext",
    "Status",
    "Tier",
    "TokencacheError",
    "ValueTooLarge",
    "Written",
    "open",
]
