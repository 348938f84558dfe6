"""The answers of the library for an event loop.

Threads of the library put them in without touching Python; the loop hears of the first by a descriptor, and finds all
that have come until it looks.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import os
from typing import Any, Callable
from weakref import WeakKeyDictionary, ref

from . import cpython
from ._native import Status
from .errors import error

#: Makes of status, version and value what a coroutine is told. A value is bytes, or a capsule, or None.
Reader = Callable[[int, int, Any], Any]

# As a plain integer, which compares faster.
_CONFLICT = int(Status.CONFLICT)


class Inbox:
    """The answers for one event loop."""

    __slots__ = ("__weakref__", "_first", "_numbers", "_take", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._take, descriptor, self._first = cpython.inbox()
        self._numbers = itertools.count(0, 2)
        self._waiting: dict[int, tuple[asyncio.Future[Any], Reader]] = {}
        # The loop keeps this from now on, not the other way round. A context of its own, for it keeps that too.
        contextvars.Context().run(loop.add_reader, descriptor, self._look)

    def next(self, *, as_capsule: bool) -> int:
        """The ``user_data`` of a call."""
        # An odd number asks for a capsule.
        return self._first + next(self._numbers) % 2**32 + as_capsule

    def expect(self, user_data: int, future: asyncio.Future[Any], reader: Reader) -> None:
        """The call was accepted. The loop has not looked for its answer yet, for it runs the caller."""
        self._waiting[user_data - self._first] = future, reader

    def _look(self) -> None:
        # Where something is raised in between, by a signal handler of the application say, the answer stays and the
        # descriptor can be read, so the loop calls this again.
        take, waiting = self._take, self._waiting
        answer = take(None)
        while answer:
            number, status, version, value, message = answer
            expected = waiting.get(number)
            if expected and not expected[0].done():  # Else it was cancelled: nobody waits.
                _tell(*expected, status, version, value, message)
            waiting.pop(number, None)
            answer = take(number)


def _tell(
    future: asyncio.Future[Any], reader: Reader, status: int, version: int, value: Any, message: bytes | None
) -> None:
    if status < 0 or status == _CONFLICT:
        future.set_exception(error(status, (message or b"").decode("utf-8", "replace")))
        return
    try:
        answer = reader(status, version, value)
    except Exception as raised:
        future.set_exception(raised)
    else:
        future.set_result(answer)


def inbox_of(loop: asyncio.AbstractEventLoop) -> Inbox:
    """The inbox of the loop that runs."""
    known = _inboxes.get(loop)
    inbox = known() if known else None
    if inbox is None:
        inbox = Inbox(loop)
        _inboxes[loop] = ref(inbox)
    return inbox


_inboxes: WeakKeyDictionary[asyncio.AbstractEventLoop, ref[Inbox]] = WeakKeyDictionary()
# A child has none of its parent's in the library.
os.register_at_fork(after_in_child=_inboxes.clear)
