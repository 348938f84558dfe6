"""How an asynchronous call is made, and what its coroutine is told."""

from __future__ import annotations

import asyncio
import ctypes
from typing import Any

from . import _native
from .cpython import address_of, done
from .entry import Entry, retain
from .errors import check
from .inbox import Reader, inbox_of
from .written import Written

_ValuePointer = ctypes.POINTER(_native.Value)


def data_of(status: int, version: int, value: bytes | None) -> bytes | None:
    """The bytes that were read."""
    return value


def entry_of(status: int, version: int, value: object) -> Entry | None:
    """The entry that was read."""
    return None if value is None else Entry(retain(ctypes.cast(address_of(value), _ValuePointer)), status)


def version_of(status: int, version: int, value: object) -> Written:
    """What was written."""
    return Written(version, status)


def start(reader: Reader, function: Any, *arguments: Any) -> asyncio.Future[Any]:
    """Start an asynchronous call of the library, whose result is what ``reader`` makes of its one answer."""
    loop = asyncio.get_running_loop()
    inbox = inbox_of(loop)
    future: asyncio.Future[Any] = loop.create_future()
    user_data = inbox.next(as_capsule=reader is entry_of)
    check(function(*arguments, done, user_data))
    inbox.expect(user_data, future, reader)
    return future
