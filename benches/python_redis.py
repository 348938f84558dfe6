"""`Cache.get` and `Cache.aget` of Python over Redis, without L1, beside redis-py: one read after the other, and 64 at once.

python_redis.py PORT ROUNDS, in a Python that has redis-py, with TOKENCACHE_LIBRARY. Prints rows as the drivers in C do.
"""

import asyncio
import contextlib
import random
import statistics
import sys
import time

import redis

from python_get import VALUE, tokencache

ENTRIES, READS, AT_ONCE = 1_000, 512, 64


def microseconds(reads, drawn):
    """Of one read, by the clock on the wall: the server's part is in it."""
    begin = time.perf_counter()
    reads(drawn)
    return (time.perf_counter() - begin) / len(drawn) * 1e6


def in_batches(keys):
    return [keys[at : at + AT_ONCE] for at in range(0, len(keys), AT_ONCE)]


def main(port, rounds):
    client = redis.Redis(port=port)
    document = {
        "version": 1,
        "l1": {"enabled": False},
        "l2": {"kind": "redis", "url": f"redis://127.0.0.1:{port}/0"},
        "encryption": {"algorithm": "none"},
        "resilience": {"deadline_ms": 20_000},
    }
    keys = [f"{number:036d}.{number:036d}" for number in range(ENTRIES)]

    def theirs_pipelined(drawn):
        for batch in in_batches(drawn):
            pipeline = client.pipeline(transaction=False)
            for key in batch:
                pipeline.get(f"string.{key}")
            pipeline.execute()

    loop = asyncio.new_event_loop()
    with tokencache.open(document) as cache, contextlib.closing(loop):

        async def ours_at_once(drawn):
            for batch in in_batches(drawn):
                await asyncio.gather(*map(cache.aget, batch))

        for key in keys:
            cache.set(key, bytes(VALUE))
            client.set(f"string.{key}", bytes(VALUE))
        sides = {
            "ours": lambda drawn: [cache.get(key) for key in drawn],
            "theirs": lambda drawn: [client.get(f"string.{key}") for key in drawn],
            "ours_64": lambda drawn: loop.run_until_complete(ours_at_once(drawn)),
            "theirs_64": theirs_pipelined,
        }
        seen = {side: [] for side in sides}
        draw = random.Random(1)
        for _ in range(rounds + 1):
            drawn = draw.choices(keys, k=READS)
            for side, reads in sides.items():
                seen[side].append(microseconds(reads, drawn))
    for row, ours, theirs in [("redis_python", "ours", "theirs"), ("redis_python_64", "ours_64", "theirs_64")]:
        # The first round warms up.
        pairs = list(zip(seen[ours][1:], seen[theirs][1:]))
        print(
            f"{row}\t{statistics.median(our / their for our, their in pairs)}\t"
            f"{statistics.median(our for our, _ in pairs):.1f} µs, redis-py "
            f"{statistics.median(their for _, their in pairs):.1f} µs (redis-py {redis.__version__} with hiredis)"
        )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
