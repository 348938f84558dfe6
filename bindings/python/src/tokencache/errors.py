"""What can go wrong, as one exception for each kind of failure.

``except L2Error`` catches everything that the second tier did, ``except SealError`` every entry that could not be
opened, and ``except TokencacheError`` all of it.
"""

from __future__ import annotations

from ._native import Status
from .library import lib


class TokencacheError(Exception):
    """A call failed.

    Attributes:
        status: Why, as the library's number.
        message: Why, as a sentence.

    Example:
        >>> try:
        ...     token = cache.get("alice")
        ... except tokencache.L2Error as error:
        ...     print(f"503, since {error}")
    """

    status: Status | int
    message: str

    def __init__(self, status: Status | int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message

    def __str__(self) -> str:
        return self.message


class Conflict(TokencacheError):
    """The entry's version is not the expected one; nothing was written."""


class InvalidArgument(TokencacheError):
    """An argument is impossible: an empty key, a time without a zone, a lifetime below zero."""


class InvalidConfig(TokencacheError):
    """The document was refused; the running configuration stands."""


class AbiMismatch(TokencacheError):
    """The library is of another generation than this package."""


class ValueTooLarge(TokencacheError):
    """The value is longer than ``limits.max_value_bytes``."""


class InvalidHandle(TokencacheError):
    """The cache has been closed."""


class Closed(TokencacheError):
    """The cache was closed while the call was under way."""


class OutOfMemory(TokencacheError):
    """Memory, threads or handles ran out."""


class Panic(TokencacheError):
    """A defect in the library; the call was abandoned, the cache stays usable."""


class L2Error(TokencacheError):
    """The second tier failed."""


class L2Unreachable(L2Error):
    """L2 refused, reset, cannot be found or opened."""


class L2Timeout(L2Error):
    """L2 did not answer in time."""


class L2Busy(L2Error):
    """L2 is loading, failing over or locked: worth another try."""


class L2Denied(L2Error):
    """L2 turned us down: credentials, permissions, read-only. No use trying again."""


class L2Protocol(L2Error):
    """L2 gave an answer that the library does not understand."""


class L2Suspended(L2Error):
    """L2 was not tried: the circuit is open."""


class L2Full(L2Error):
    """L2 has no room."""


class SealError(TokencacheError):
    """The entry in L2 cannot be opened."""


class SealUnknownKey(SealError):
    """Sealed under a key that is not in this ring."""


class SealBroken(SealError):
    """Damaged or truncated."""


class SealWrongContext(SealError):
    """Sealed for another cache key or namespace, or its header was altered."""


class SealRevokedKey(SealError):
    """Sealed under a revoked key."""


class SealForeign(SealError):
    """Not our envelope; the message says what it looks like."""


class SealUnsupported(SealError):
    """Written by a newer version of the library."""


_CLASSES: dict[int, type[TokencacheError]] = {
    Status.CONFLICT: Conflict,
    Status.INVALID_ARGUMENT: InvalidArgument,
    Status.INVALID_CONFIG: InvalidConfig,
    Status.ABI_MISMATCH: AbiMismatch,
    Status.VALUE_TOO_LARGE: ValueTooLarge,
    Status.INVALID_HANDLE: InvalidHandle,
    Status.CLOSED: Closed,
    Status.OUT_OF_MEMORY: OutOfMemory,
    Status.L2_UNREACHABLE: L2Unreachable,
    Status.L2_TIMEOUT: L2Timeout,
    Status.L2_BUSY: L2Busy,
    Status.L2_DENIED: L2Denied,
    Status.L2_PROTOCOL: L2Protocol,
    Status.L2_SUSPENDED: L2Suspended,
    Status.L2_FULL: L2Full,
    Status.SEAL_UNKNOWN_KEY: SealUnknownKey,
    Status.SEAL_BROKEN: SealBroken,
    Status.SEAL_WRONG_CONTEXT: SealWrongContext,
    Status.SEAL_REVOKED_KEY: SealRevokedKey,
    Status.SEAL_FOREIGN: SealForeign,
    Status.SEAL_UNSUPPORTED: SealUnsupported,
    Status.PANIC: Panic,
}


def error(status: int, message: str | None = None) -> TokencacheError:
    """The exception for a status; without a message, with the one of this thread's last failure."""
    if status == Status.CONFLICT:
        message = Conflict.__doc__
    elif message is None:
        message = lib.tc_last_error().decode("utf-8", "replace")
    return _CLASSES.get(status, TokencacheError)(known(status), message or lib.tc_status_name(status).decode())


def known(status: int) -> Status | int:
    """The status by its name, or the bare number when the library is newer than this package."""
    try:
        return Status(status)
    except ValueError:
        return status


def check(status: int) -> int:
    """The status, unless it is a failure or a conflict, which are raised."""
    if status < 0 or status == Status.CONFLICT:
        raise error(status)
    return status
