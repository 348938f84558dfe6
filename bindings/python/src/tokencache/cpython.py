"""Functions of CPython that the library makes: a call by ctypes costs many times what a hit does, and a callback by
ctypes waits for Python's lock.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any, Optional

from . import _native
from .errors import InvalidArgument, check
from .library import lib

#: Called with a key, returns the bytes that L1 holds; None when the library must be asked what there is.
Hit = Callable[[object], Optional[bytes]]
#: Number, status, version, value and message.
Answer = tuple[int, int, int, Any, Optional[bytes]]
#: The oldest answer in an inbox, when the one of this number was taken out; None when there is none.
Take = Callable[[Optional[int]], Optional[Answer]]

# The objects that they make are Python's, so Python's lock is held during the calls.
_holding = ctypes.PyDLL(lib._name, handle=lib._handle)
_python_hit = _holding.tc_python_hit
_python_hit.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
_python_inbox = _holding.tc_python_inbox
_python_inbox.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
# As `ctypes.pythonapi`, whose functions have the `argtypes` of whoever has set them last.
_pythonapi = ctypes.PyDLL(None)

#: Puts an answer into an inbox, on a thread of the library.
done = _native.DoneFn(("tc_python_done", lib))


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
        capsule_new=_address("PyCapsule_New"),
        capsule_get_pointer=_address("PyCapsule_GetPointer"),
        build_value=_address("Py_BuildValue"),
        long_as_unsigned_long_mask=_address("PyLong_AsUnsignedLongMask"),
    )


def hit_of(handle: ctypes.c_void_p) -> Hit:
    """The function that reads L1 of one cache; one that always answers None, where there can be none."""
    try:
        hit: Hit = _made(lambda python, out: _python_hit(handle, python, out))
    except (NotImplementedError, AttributeError, InvalidArgument):
        return _nothing  # Its functions are out of sight, or it is another one than the first in this process.
    return hit


def inbox() -> tuple[Take, int, int]:
    """An inbox: what takes answers out of it, a descriptor that can be read while there are any, its first number."""
    descriptor, first = ctypes.c_int(), ctypes.c_uint64()
    outputs = ctypes.byref(descriptor), ctypes.byref(first)
    take: Take = _made(lambda python, out: _python_inbox(python, *outputs, out))
    return take, descriptor.value, first.value


def address_of(value: object) -> int:
    """Where the value of a capsule is, for as long as there is the capsule."""
    pointer_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
    address: int = pointer_of(("PyCapsule_GetPointer", _pythonapi))(value, b"tokencache.value")
    return address


def _made(make: Callable[[Any, Any], int]) -> Any:
    if sys.implementation.name != "cpython":
        raise NotImplementedError("This is not CPython, for which alone the library can make functions.")
    function = ctypes.py_object()
    check(make(ctypes.byref(_python()), ctypes.byref(function)))
    made = function.value
    # That was one more reference than the one that the library made.
    _pythonapi.Py_DecRef(function)
    return made


def _nothing(key: object) -> None:
    return None
