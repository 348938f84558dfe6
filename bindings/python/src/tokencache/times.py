"""Seconds, timedeltas and datetimes as the milliseconds of the library."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Union

from ._native import NEVER as NEVER_MS
from ._native import Status
from .errors import InvalidArgument

#: A span of time: seconds, or a timedelta.
Duration = Union[int, float, timedelta]
#: A point in time: an aware datetime, or Unix seconds.
Instant = Union[int, float, datetime]


class _Never:
    """The type of NEVER, so that no number of seconds can be mistaken for it."""

    def __repr__(self) -> str:
        return "tokencache.NEVER"


#: As ``ttl``: keep until removed or evicted.
NEVER = _Never()

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)
_LARGEST = 2**63 - 1


def duration_ms(name: str, value: Duration | _Never | None) -> int:
    """Milliseconds of a duration; 0, the configured default, for None."""
    if value is None:
        return 0
    if isinstance(value, _Never):
        return NEVER_MS
    ms = _milliseconds(name, value)
    # Not `ms`, which is 0 for a little less than zero.
    if not (value > timedelta() if isinstance(value, timedelta) else value > 0):
        # Zero is the library's word for the default, and a caller who computed it means something else.
        raise _invalid(f"{name} must be above zero, not {value!r}; leave it out for the configured default.")
    return max(ms, 1)


def timeout_ms(value: Duration) -> int:
    """Milliseconds to wait, within what the library can count."""
    return min(max(_milliseconds("timeout", value), 0), 2**32 - 1)


def instant_ms(value: Instant | None) -> int:
    """Unix time in milliseconds; 0, no limit, for None. What is before 1970 is as over as 1970."""
    if value is None:
        return 0
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise _invalid(f"expires_at must say its time zone: {value!r} does not.")
        return max(_milliseconds("expires_at", value - _EPOCH), 1)
    return max(_milliseconds("expires_at", value), 1)


def from_ms(ms: int) -> datetime | None:
    """The moment that the library's number means; None for 0."""
    if ms == 0:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        return datetime.max.replace(tzinfo=timezone.utc)


def _milliseconds(name: str, value: Duration) -> int:
    try:
        ms = value // _MILLISECOND if isinstance(value, timedelta) else round(value * 1000)
    except (TypeError, ValueError, OverflowError):
        raise _invalid(f"{name} must be a number of seconds or a time, not {value!r}.") from None
    if not isinstance(ms, int) or abs(ms) > _LARGEST:
        raise _invalid(f"{name} is too far away: {value!r}.")
    return ms


def _invalid(message: str) -> InvalidArgument:
    return InvalidArgument(Status.INVALID_ARGUMENT, message)
