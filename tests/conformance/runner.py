"""The conformance script through the Python package. README.md describes it."""

from __future__ import annotations

import ctypes
import json
import sys
import time
from typing import Any

import tokencache
from tokencache import Status, TokencacheError
from tokencache._native import SetOptions
from tokencache.library import lib

MANY = 64


def decode(field: str) -> bytes:
    """The bytes that a field stands for."""
    if field == "-":
        return b""
    if field.startswith("x:"):
        return bytes.fromhex(field[2:])
    length, star, pattern = field.partition("*")
    if star and length.isdecimal():
        unit = bytes.fromhex(pattern)
        return (unit * (int(length) // len(unit) + 1))[: int(length)]
    return field.encode()


def encode(data: bytes) -> str:
    """The bytes as an answer shows them."""
    if not data:
        return "-"
    if len(data) <= MANY:
        return "x:" + data.hex()
    hash = 0xCBF29CE484222325
    for byte in data:
        hash = (hash ^ byte) * 0x100000001B3 % 2**64
    return f"{len(data)}#{hash:016x}"


def now_ms() -> float:
    return time.time() * 1000


class Runner:
    """One cache, and the versions that were captured."""

    def __init__(self, document: str) -> None:
        self.document = document
        self.cache = tokencache.open(document)
        self.versions: dict[str, int] = {"zero": 0, "absent": tokencache.ABSENT}

    def run(self, operation: str, fields: list[str]) -> str:
        """The answer of one step."""
        try:
            return getattr(self, "step_" + operation.replace("-", "_"))(*fields)
        except TokencacheError as error:
            return Status(error.status).name

    def step_set(self, key: str, value: str, *options: str) -> str:
        given: dict[str, Any] = {}
        flags, name = 0, None
        for option in options:
            word, _, rest = option.partition("=")
            if word == "local":
                given["local_only"] = True
            elif word == "ttl":
                given["ttl"] = tokencache.NEVER if rest == "never" else int(rest) / 1000
            elif word == "sliding":
                given["sliding"] = int(rest) / 1000
            elif word == "expires":
                given["expires_at"] = (now_ms() + int(rest)) / 1000
            elif word == "if":
                given["expected_version"] = self.versions[rest]
            elif word == "flags":
                flags = int(rest)
            elif word == "as":
                name = rest
            else:
                raise ValueError(f"{option} is unknown.")
        if flags:
            return self.set_raw(decode(key), decode(value), flags)
        version = self.cache.set(self.key(key), decode(value), **given)
        if name:
            self.versions[name] = version
        return "OK"

    def set_raw(self, key: bytes, value: bytes, flags: int) -> str:
        options = SetOptions(struct_size=ctypes.sizeof(SetOptions), flags=flags)
        status = lib.tc_set(self.cache._handle, key, len(key), value, len(value), options, None)
        return Status(status).name

    def step_get(self, key: str, *options: str) -> str:
        return self.describe(self.cache.get_entry(self.key(key)), options)

    def step_peek(self, key: str, *options: str) -> str:
        # `peek` gives the bytes alone; what else is known of the entry comes from L1 as well.
        found = self.cache.peek(self.key(key))
        if found is None:
            return "NOT_FOUND"
        entry = self.cache.get_entry(self.key(key))
        assert entry is not None and entry.data == found
        return self.describe(entry, options)

    def describe(self, entry: tokencache.Entry | None, options: tuple[str, ...]) -> str:
        if entry is None:
            return "NOT_FOUND"
        for option in options:
            self.versions[option.removeprefix("as=")] = entry.version
        status = "DEGRADED" if entry.degraded else "OK"
        return f"{status} value={encode(entry.data)} tier={entry.tier.name.lower()} flags={int(entry.retired_key)}"

    def step_get_into(self, key: str, size: str) -> str:
        data, buffer, length = decode(key), (ctypes.c_char * int(size))(), ctypes.c_size_t()
        status = Status(
            lib.tc_get_into(self.cache._handle, data, len(data), ctypes.addressof(buffer), int(size), length)
        )
        if status == Status.OK:
            return f"OK value={encode(buffer[: length.value])}"
        return status.name + (f" length={length.value}" if status == Status.BUFFER_TOO_SMALL else "")

    def step_remaining(self, key: str, low: str, high: str) -> str:
        entry = self.cache.get_entry(self.key(key))
        if entry is None:
            return "NOT_FOUND"
        if entry.expires_at is None:
            return "OK never"
        left = entry.expires_at.timestamp() * 1000 - now_ms()
        return "OK within" if int(low) <= left <= int(high) else "OK outside"

    def step_remove(self, key: str) -> str:
        self.cache.remove(self.key(key))
        return "OK"

    def step_touch(self, key: str) -> str:
        return "OK" if self.cache.touch(self.key(key)) else "NOT_FOUND"

    def step_clear(self) -> str:
        self.cache.clear()
        return "OK"

    def step_flush(self) -> str:
        return "OK" if self.cache.flush(60) else "DEGRADED"

    def step_wait_expired(self, key: str) -> str:
        end, pause = time.monotonic() + 60, 0.001
        while self.cache.get(self.key(key)) is not None:
            if time.monotonic() >= end:
                return "STILL_THERE"
            time.sleep(pause)
            pause *= 2
        return "NOT_FOUND"

    def step_stats(self, name: str) -> str:
        text = json.dumps(self.cache.stats(), separators=(",", ":"))
        return "OK present" if f'"{name}":' in text else "OK absent"

    def step_compare(self, one: str, other: str) -> str:
        return "same" if self.versions[one] == self.versions[other] else "different"

    def step_reopen(self) -> str:
        self.close()
        self.cache = tokencache.open(self.document)
        return "OK"

    def close(self) -> None:
        if not self.cache.close():
            raise SystemExit("The cache closed with something owed to L2.")

    @staticmethod
    def key(field: str) -> bytes | str:
        # What is written as text is given as text.
        return field if decode(field) == field.encode() else decode(field)


def main(script: str, document: str, _backend: str) -> None:
    runner = Runner(document)
    with open(script, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line[0] in "#=@\n":
                continue
            operation, *fields = line.split()
            try:
                print(runner.run(operation, fields))
            except Exception as error:
                error.args = (f"line {number}: {error}",)
                raise
    runner.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
