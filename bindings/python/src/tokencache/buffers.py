"""Memory that reads are copied into, used again and again."""

from __future__ import annotations

import ctypes
from typing import Any

# The array, its address and its size, the length that is written, and its address. What is passed was converted when
# they were made: for a function without `argtypes` ctypes has nothing left to do.
Buffer = tuple[Any, Any, Any, ctypes.c_size_t, Any]

# A call takes a buffer from here and puts it back, so that there are as many as there are calls at once. A buffer per
# thread would be shared by a call and the signal handler that interrupts it, which would then read each other's token.
free: list[Buffer] = []

#: The size of a new buffer, and of the largest that is kept.
_SMALLEST, _LARGEST = 16 * 1024, 1024 * 1024


def at_least(size: int) -> Buffer:
    """A new buffer with room for a value of that size, unless such values are too rare and too large to keep room."""
    room = max(_SMALLEST, size + size // 4) if size <= _LARGEST else _SMALLEST
    array = (ctypes.c_char * room)()
    length = ctypes.c_size_t()
    return array, ctypes.byref(array), ctypes.c_size_t.from_param(room), length, ctypes.byref(length)
