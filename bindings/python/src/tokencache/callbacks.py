"""The application's callbacks, as the library calls them.

There is one C function for each kind of callback, made when the module is imported and never freed. What differs is
``user_data``, a number under which the Python callable is kept until the library says that it will not be used again.
"""

from __future__ import annotations

import ctypes
import itertools
import logging
import os
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Optional, Union

from . import _native
from ._native import Decision, Level, Operation, Status
from .errors import known
from .times import Duration, timeout_ms

logger = logging.getLogger("tokencache")

#: As the answer of a retry callback: fail the call now.
GIVE_UP = Decision.GIVE_UP

_LOGGING = {Level.ERROR: logging.ERROR, Level.WARN: logging.WARNING, Level.INFO: logging.INFO}


@dataclass(frozen=True)
class Failure:
    """A failed attempt at L2, as a retry callback is told of it.

    Attributes:
        operation: What was asked of L2.
        status: Why it failed.
        key: The cache key, or None when the operation has none.
        attempt: 1 for the first try.
        max_attempts: ``resilience.max_attempts``, which the callback cannot exceed.
        elapsed: Seconds since the call began.
        remaining: Seconds until ``resilience.deadline_ms`` ends the call.
        backoff: Seconds until the next attempt, if the callback does not say otherwise.
        message: Why it failed, as a sentence.

    Example:
        >>> def repair(failure):
        ...     print(f"attempt {failure.attempt} of {failure.max_attempts}: {failure.message}")
    """

    operation: Operation
    status: Status | int
    # Not where it is printed, which is by accident more often than on purpose.
    key: bytes | None = field(repr=False)
    attempt: int
    max_attempts: int
    elapsed: float
    remaining: float
    backoff: float
    message: str


@dataclass(frozen=True)
class Retry:
    """As the answer of a retry callback: try again, after ``delay`` or after the configured backoff.

    Attributes:
        delay: In seconds or as a timedelta.

    Example:
        >>> cache.on_retry(lambda failure: Retry(0.05))
    """

    delay: Optional[Duration] = None


RetryCallback = Callable[[Failure], Union[Retry, Decision, bool, None]]
LogCallback = Callable[[Level, str, str], None]

_numbers = itertools.count(1)
_callables: dict[int, Any] = {}
#: In a forked child, those that only the parent's threads will ever give back.
_inherited: set[int] = set()

#: How long an interpreter that exits waits for callbacks, in seconds.
_PATIENCE = 5
#: It has waited so long: what still comes is let go unheard.
_is_leaving = False


def keep(callback: Any) -> int:
    """Keep the callable alive and return its ``user_data``."""
    number = next(_numbers)
    _callables[number] = callback
    return number


def forget(number: int) -> None:
    """Drop a callable that the library did not accept."""
    _callables.pop(number, None)


def to_logging(level: Level, target: str, message: str) -> None:
    """The log callback that hands records to the loggers below ``tokencache``: ``tokencache.journal`` and so on."""
    logger.getChild(target).log(_LOGGING.get(level, logging.DEBUG), "%s", message)


def settle() -> None:
    """Wait until no thread of the library is in a callback of this process, or can enter one.

    One that comes for the interpreter's lock when the interpreter is gone is ended by Python in the middle of the
    library, which takes the whole process down. A long queue of log records is cut short; a callback that does not
    return is waited for in vain.
    """
    global _is_leaving
    for _is_leaving in (False, True):
        end = time.monotonic() + _PATIENCE
        while _callables.keys() - _inherited and time.monotonic() < end:
            time.sleep(0.001)
    # The last one to be given back may still be on its way out.
    time.sleep(4 * sys.getswitchinterval())


os.register_at_fork(after_in_child=lambda: _inherited.update(_callables))


# An exception must not leave these functions: ctypes prints it, and the library is given whatever is in the register.


def _on_retry(user_data: int, failure: Any, delay_ms: Any) -> int:
    if _is_leaving:
        return Decision.DEFAULT
    try:
        return _decide(_callables[user_data](_failure(failure.contents, delay_ms[0])), delay_ms)
    except BaseException:  # SystemExit, too, has nobody to go to on a thread of the library.
        _complain("The retry callback raised; the configuration decides.")
        return Decision.DEFAULT


def _on_log(user_data: int, level: int, target: bytes, message: bytes) -> None:
    if _is_leaving:
        return
    try:
        _callables[user_data](Level(level), _text(target), _text(message))
    except BaseException:
        _complain("The log callback raised.")


def _on_destroy(user_data: int) -> None:
    forget(user_data)


on_retry = _native.RetryFn(_on_retry)
on_log = _native.LogFn(_on_log)
on_destroy = _native.DestroyFn(_on_destroy)


def _failure(it: Any, backoff_ms: int) -> Failure:
    return Failure(
        operation=Operation(it.operation),
        status=known(it.status),
        key=ctypes.string_at(it.key, it.key_len) if it.key else None,
        attempt=it.attempt,
        max_attempts=it.max_attempts,
        elapsed=it.elapsed_ms / 1000,
        remaining=it.remaining_ms / 1000,
        backoff=backoff_ms / 1000,
        message=_text(it.message),
    )


def _decide(answer: Any, delay_ms: Any) -> int:
    if isinstance(answer, Retry):
        if answer.delay is not None:
            delay_ms[0] = timeout_ms(answer.delay)
        return Decision.RETRY
    if isinstance(answer, Decision):
        return answer
    if answer is None:
        return Decision.DEFAULT
    if isinstance(answer, bool):
        return Decision.RETRY if answer else Decision.GIVE_UP
    logger.error("The retry callback returned %r; the configuration decides.", answer)
    return Decision.DEFAULT


def _text(text: bytes | None) -> str:
    return (text or b"").decode("utf-8", "replace")


def _complain(message: str) -> None:
    try:
        logger.exception(message)
    except BaseException:  # A handler of the application's logging, and there is nobody left to tell.
        pass
