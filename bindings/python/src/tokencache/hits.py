"""Reads of L1 by a function of CPython, which the library makes: a call by ctypes costs many times what a hit does."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Optional

from . import _native
from .errors import InvalidArgument, check
from .library import lib

#: Called with a key, returns the bytes that L1 holds; None when the library must be asked what there is.
Hit = Callable[[object], Optional[bytes]]

# The object that it makes is Python's, so Python's lock is held during the call.
_python_hit = ctypes.PyDLL(lib._name, handle=lib._handle).tc_python_hit
_python_hit.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
# As `ctypes.pythonapi`, whose functions have the `argtypes` of whoever has set them last.
_pythonapi = ctypes.PyDLL(None)


def _address(function: str) -> int | None:
    return ctypes.cast(getattr(_pythonapi, function), ctypes.c_void_p).value


def _python() -> _native.Python:
    return _native.Python(
        struct_size=ctypes.sizeof(_native.Python),
        none=id(None),
        str_type=id(str),
        bytes_type=id(bytes),
        object_type=_address("PyObject_Type"),
        inc_ref=_address("Py_IncRef"),
        dec_ref=_address("Py_DecRef"),
        unicode_as_utf8_and_size=_address("PyUnicode_AsUTF8AndSize"),
        bytes_as_string=_address("PyBytes_AsString"),
        bytes_size=_address("PyBytes_Size"),
        bytes_from_string_and_size=_address("PyBytes_FromStringAndSize"),
        cfunction_new_ex=_address("PyCFunction_NewEx"),
        err_clear=_address("PyErr_Clear"),
    )


def hit_of(handle: ctypes.c_void_p) -> Hit:
    """The function that reads L1 of one cache; one that always answers None, where there can be none."""
    if sys.implementation.name != "cpython":
        return _nothing
    function = ctypes.py_object()
    try:
        check(_python_hit(handle, ctypes.byref(_python()), ctypes.byref(function)))
    except (AttributeError, InvalidArgument):
        return _nothing  # Its functions are out of sight, or it is another one than the first in this process.
    hit: Hit = function.value
    # That was one more reference than the one that the library made.
    _pythonapi.Py_DecRef(function)
    return hit


def _nothing(key: object) -> None:
    return None
