"""The answers of the library for an event loop.

Threads of the library put them in without touching Python; the loop hears of the first by a descriptor, and finds all
that have come until it looks.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import deque
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

    __slots__ = ("__weakref__", "_answers", "_first", "_numbers", "_take", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._take, descriptor, self._first = cpython.inbox()
        self._numbers = itertools.count(0, 2)
        self._waiting: dict[int, tuple[asyncio.Future[Any], Reader]] = {}
        self._answers: deque[cpython.Answer] = deque()
        # The loop keeps this from now on; not the other way round.
        loop.add_reader(descriptor, self._look)

    def expect(self, future: asyncio.Future[Any], reader: Reader, *, as_capsule: bool) -> int:
        """The ``user_data`` of a call that will be answered."""
        # An odd number asks for a capsule.
        number = next(self._numbers) % 2**32 + as_capsule
        self._waiting[number] = future, reader
        return self._first + number

    def forget(self, user_data: int) -> None:
        """The library did not accept the call."""
        del self._waiting[user_data - self._first]

    def rouse(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called by the loop: an exception of a signal handler may have kept it from looking."""
        if self._answers:
            loop.call_soon(self._look)

    def _look(self) -> None:
        try:
            # Without a step of the interpreter in between, where a signal handler could raise.
            self._answers.extend(iter(self._take, None))
            while self._answers:
                number, *answer = self._answers[0]
                waiting = self._waiting.get(number)
                if waiting and not waiting[0].done():  # Else it was cancelled: nobody waits.
                    _tell(*waiting, *answer)
                self._answers.popleft()
                self._waiting.pop(number, None)
        except BaseException:  # Of a signal handler of the application: the others wait for their answers.
            asyncio.get_running_loop().call_soon(self._look)
            raise


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
    inbox.rouse(loop)
    return inbox


_inboxes: WeakKeyDictionary[asyncio.AbstractEventLoop, ref[Inbox]] = WeakKeyDictionary()
# A child has none of its parent's in the library.
os.register_at_fork(after_in_child=_inboxes.clear)
