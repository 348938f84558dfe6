"""Has the library ask and tell the application: when L2 fails, and what it logs."""

from __future__ import annotations

import ctypes
from typing import Any

from . import _native, callbacks
from ._native import Level
from .callbacks import LogCallback, RetryCallback
from .errors import check
from .library import lib


class CallbackMethods:
    """The part of Cache that registers callbacks."""

    _handle: ctypes.c_void_p

    def on_retry(self, callback: RetryCallback | None) -> None:
        """Ask the application what to do when an attempt at L2 has failed.

        Args:
            callback: Is given a ``Failure`` and returns ``Retry(delay)``, ``GIVE_UP``, or None to follow
                ``resilience`` in the configuration; True and False mean try again and give up. It runs on threads of
                the library, several at once, and may use this cache, ``configure`` and ``close`` included. When it
                raises, the exception is logged to the logger ``tokencache`` and the configuration decides. None goes
                back to the configuration.

        Raises:
            InvalidHandle: The cache has been closed.

        Example:
            >>> def repair(failure):
            ...     if isinstance(failure.status, Status) and failure.status == Status.L2_DENIED:
            ...         return GIVE_UP
            ...     return Retry(0.05)
            >>> cache.on_retry(repair)
        """
        self._register(lambda *c: lib.tc_on_retry(self._handle, *c), callbacks.on_retry, _native.RetryFn, callback)

    def on_log(self, sink: LogCallback | Level | None, level: Level = Level.INFO) -> None:
        """Receive the library's log records.

        Args:
            sink: A function that is given the level, the target and the message, on a thread of the library; or a
                ``Level``, to hand the records from that level up to ``logging``, to the loggers ``tokencache.cache``,
                ``tokencache.journal`` and so on, below ``tokencache``; or None, to go back to ``logging.to`` in the
                configuration.
            level: The least weight that a function is given.

        Raises:
            InvalidHandle: The cache has been closed.

        Example:
            >>> cache.on_log(Level.WARN)
        """
        receiver, least = (callbacks.to_logging, sink) if isinstance(sink, Level) else (sink, level)
        self._register(lambda *c: lib.tc_on_log(self._handle, least, *c), callbacks.on_log, _native.LogFn, receiver)

    @staticmethod
    def _register(register: Any, function: Any, kind: Any, callback: Any) -> None:
        """Give the library one of our functions with the number of the callback, or null."""
        if callback is None:
            check(register(kind(), None, _native.DestroyFn()))
            return
        if not callable(callback):
            raise TypeError(f"A callback must be callable; {callback!r} is not.")
        number = callbacks.keep(callback)
        try:
            check(register(function, number, callbacks.on_destroy))
        except BaseException:
            callbacks.forget(number)
            raise
