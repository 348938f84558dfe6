"""What callers give: keys, values, and how to store them."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Mapping
from typing import Any, Union

from ._native import LOCAL_ONLY, VERSION_ABSENT, SetOptions, Status
from .errors import InvalidArgument
from .times import Duration, Instant, _Never, duration_ms, instant_ms

#: A cache key. A str is its UTF-8.
Key = Union[str, bytes]
#: A configuration document: a dict or another mapping, or its JSON.
Config = Union[Mapping[str, Any], str, bytes]

#: As ``expected_version``: store only where no live entry exists.
ABSENT = VERSION_ABSENT


def key_bytes(key: Key) -> bytes:
    """The key as the library sees it."""
    if isinstance(key, str):
        return key.encode()
    if isinstance(key, bytes):
        return key
    raise TypeError(f"A key is str or bytes, not {type(key).__name__}.")


def value_bytes(value: Union[bytes, bytearray, memoryview]) -> bytes:
    """The value as ctypes can pass it."""
    if isinstance(value, bytes):
        return value
    try:
        return bytes(memoryview(value))
    except TypeError:
        raise TypeError(f"A value is bytes or like it, not {type(value).__name__}.") from None


def config_bytes(config: Config) -> bytes:
    """The document as JSON."""
    if isinstance(config, bytes):
        return config
    return (config if isinstance(config, str) else json.dumps(config, default=_mapping)).encode()


def _mapping(section: object) -> dict[str, Any]:
    """A section that is no dict, for `json`."""
    if isinstance(section, Mapping):
        return dict(section)
    raise TypeError(f"A configuration document has no {type(section).__name__}.")


def set_options(
    ttl: Duration | _Never | None = None,
    expires_at: Instant | None = None,
    sliding: Duration | None = None,
    expected_version: int | None = None,
    local_only: bool = False,
) -> SetOptions | None:
    """The options of a set, or None when everything is as configured."""
    if ttl is expires_at is sliding is expected_version is None and not local_only:
        return None
    if isinstance(sliding, _Never):
        raise InvalidArgument(Status.INVALID_ARGUMENT, "sliding is a duration; an entry that never ends has ttl=NEVER.")
    return SetOptions(
        ctypes.sizeof(SetOptions),
        duration_ms("ttl", ttl),
        instant_ms(expires_at),
        duration_ms("sliding", sliding),
        _version(expected_version),
        LOCAL_ONLY if local_only else 0,
    )


def _version(expected: int | None) -> int:
    if expected is None:
        return 0
    if not 0 < expected <= VERSION_ABSENT:
        # Zero means "over anything" in C. As an expectation it would quietly store over what it should protect.
        raise InvalidArgument(
            Status.INVALID_ARGUMENT,
            f"{expected} is the version of no entry; pass ABSENT to store only where there is none.",
        )
    return expected
