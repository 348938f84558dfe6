"""How the answers to asynchronous calls come from the threads of the library to the event loops that wait for them."""

from __future__ import annotations

import asyncio
import ctypes
from collections import deque
from typing import Any, Callable
from weakref import WeakKeyDictionary, ref

from ._native import Status
from .callbacks import forget, keep, on_done
from .entry import Entry, retain
from .errors import check, error
from .written import Written

# As a plain integer, which compares faster.
_CONFLICT = int(Status.CONFLICT)

#: Makes of a result, which is valid for no longer than the call, what a coroutine is told.
Reader = Callable[[Any], Any]


def data_of(result: Any) -> bytes | None:
    """A copy of the bytes that were read."""
    if not result.value:
        return None
    value = result.value.contents
    return ctypes.string_at(value.data, value.len) if value.len else b""


def entry_of(result: Any) -> Entry | None:
    """The entry that was read."""
    return Entry(retain(result.value), result.status) if result.value else None


def version_of(result: Any) -> Written:
    """What was written."""
    return Written(result.version, result.status)


def start(reader: Reader, function: Any, *arguments: Any) -> asyncio.Future[Any]:
    """Start an asynchronous call of the library, whose result is what ``reader`` makes of its one completion."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    inbox = _inbox_of(loop)

    def completed(result: Any) -> None:
        answer: Any = None
        failure: Exception | None = None
        status = result.status
        if status < 0 or status == _CONFLICT:
            failure = error(status, result.message.decode("utf-8", "replace"))
        else:
            try:
                answer = reader(result)
            except Exception as raised:
                # Its traceback would show a result that is gone to whoever looks at it.
                failure = raised.with_traceback(None)
        inbox.put(future, answer, failure)

    number = keep(completed)
    try:
        check(function(*arguments, on_done, number))
    except BaseException:
        forget(number)  # Not accepted, so there will be no completion.
        raise
    return future


def _inbox_of(loop: asyncio.AbstractEventLoop) -> _Inbox:
    known = _inboxes.get(loop)
    inbox = known() if known else None
    if inbox is None:
        inbox = _Inbox()
        _inboxes[loop] = ref(inbox)
    inbox.rouse(loop)
    return inbox


class _Inbox:
    """Answers for one event loop, which is called to the first and finds all that have come until it looks: to call it
    costs more than all the rest.
    """

    __slots__ = ("__weakref__", "_answers", "_is_called")

    def __init__(self) -> None:
        self._answers: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._is_called = False

    def put(self, future: asyncio.Future[Any], answer: Any, failure: BaseException | None) -> None:
        """Called on threads of the library."""
        self._answers.append((future, answer, failure))
        if self._is_called:
            return
        self._is_called = True
        loop = future.get_loop()
        try:
            loop.call_soon_threadsafe(self._look, loop)
        except RuntimeError:  # The loop was closed while the library worked: nobody waits.
            self._answers.clear()
            self._is_called = False
        except BaseException:
            self._is_called = False
            raise

    def rouse(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called by the loop: an exception of a signal handler may have kept it from looking."""
        if self._answers:
            loop.call_soon(self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            # First, so that what comes from now on calls again.
            self._is_called = False
            while True:
                future, answer, failure = self._answers[0]
                if future.done():  # Cancelled: nobody waits.
                    pass
                elif failure is None:
                    future.set_result(answer)
                else:
                    future.set_exception(failure)
                self._answers.popleft()
        except IndexError:
            return
        except BaseException:  # Of a signal handler of the application: the others wait for their answers.
            loop.call_soon(self._look, loop)
            raise


# An inbox may hold its loop, so this keeps neither: calls under way keep theirs, and so does a loop that was called.
_inboxes: WeakKeyDictionary[asyncio.AbstractEventLoop, ref[_Inbox]] = WeakKeyDictionary()
