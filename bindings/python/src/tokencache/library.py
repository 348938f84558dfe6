"""Finds the shared library and loads it once, when the package is imported."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
from pathlib import Path

from . import _native

_HERE = Path(__file__).resolve().parent
_NAME = "libtokencache.so"
#: What the library of a wheel is linked against.
_GLIBC = (2, 28)


def _refusal() -> str | None:
    """Why the library cannot run here, or nothing."""
    system, machine = platform.system(), platform.machine()
    name, version = platform.libc_ver()
    here = f"{system or 'an unknown system'} on {machine or 'an unknown processor'}"
    if system == "Linux":
        here += f" with {name} {version}" if name else " without glibc"
    is_new = tuple(map(int, re.findall(r"\d+", version)[:2])) >= _GLIBC
    if (system, machine, name) == ("Linux", "x86_64", "glibc") and is_new and sys.maxsize > 2**32:
        return None
    if sys.maxsize <= 2**32:
        here += ", in a Python of 32 bits"
    return f"Tokencache runs on 64-bit Linux on x86_64 with glibc {_GLIBC[0]}.{_GLIBC[1]} or newer; this is {here}."


def _candidates() -> list[str]:
    """Where the library may be: beside the package, in the system, in the repository that this file is part of."""
    beside = [_HERE / _NAME, _HERE / f"{_NAME}.1"]
    built = [root / "target/release" / _NAME for root in list(_HERE.parents)[3:4] if (root / "Cargo.toml").exists()]
    return [*map(str, filter(Path.exists, beside)), f"{_NAME}.1", *map(str, filter(Path.exists, built))]


def _load() -> tuple[ctypes.CDLL, str]:
    chosen = os.environ.get("TOKENCACHE_LIBRARY")
    if chosen:
        try:
            return _native.load(chosen), chosen
        except OSError as error:
            raise ImportError(f"TOKENCACHE_LIBRARY is {chosen!r}, which cannot be loaded: {error}") from None
    refusal = _refusal()
    if refusal:
        raise ImportError(refusal)
    failures = []
    for path in _candidates():
        try:
            return _native.load(path), path
        except OSError as error:
            failures.append(f"{path} ({error})")
    raise ImportError(
        f"The library {_NAME} was not found. Install it, or set TOKENCACHE_LIBRARY to its path. "
        f"Tried: {'; '.join(failures)}."
    )


#: The library, with its signatures; and the name under which it was found.
lib, path = _load()
