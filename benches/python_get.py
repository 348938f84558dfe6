"""`Cache.get` of Python beside a ctypes call of a function that does nothing, both inside a function that takes a str.

python_get.py ROUNDS, with TOKENCACHE_LIBRARY and TOKENCACHE_FLOOR. Prints a row as the drivers in C do.
"""

import ctypes
import os
import random
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bindings/python/src"))

import tokencache  # noqa: E402

ENTRIES, VALUE, READS = 20_000, 7_000, 4_000


def empty_call():
    nothing = ctypes.CDLL(os.environ["TOKENCACHE_FLOOR"]).floor_nothing
    nothing.restype = ctypes.c_int32
    nothing.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p]

    def call(key):
        key = key.encode()
        return nothing(None, key, len(key), None)

    return call


def nanoseconds(function, keys):
    """Of one call. The time of this thread: others use the machine."""
    begin = time.thread_time()
    for key in keys:
        function(key)
    return (time.thread_time() - begin) / len(keys) * 1e9


def main(rounds):
    keys = [f"{number:036d}.{number:036d}" for number in range(ENTRIES)]
    drawn = random.Random(1).choices(keys, [1 / (rank + 1) ** 0.99 for rank in range(ENTRIES)], k=READS)
    with tokencache.open({"version": 1, "l1": {"capacity_bytes": 2 * ENTRIES * VALUE}}) as cache:
        for key in keys:
            cache.set(key, bytes(VALUE))
        sides = {"empty": empty_call(), "get": cache.get}
        seen = {side: [] for side in sides}
        for _ in range(rounds + 1):
            for side, function in sides.items():
                seen[side].append(nanoseconds(function, drawn))
    # The first round warms up.
    empty, get = seen["empty"][1:], seen["get"][1:]
    ratio = statistics.median(ours / theirs for ours, theirs in zip(get, empty))
    version = ".".join(map(str, sys.version_info[:2]))
    print(
        f"python_get\t{ratio}\t{statistics.median(get):.0f} ns beside {statistics.median(empty):.0f}, Python {version}"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
