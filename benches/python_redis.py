"""`Cache.get` and `Cache.aget` of Python over Redis, without L1, beside redis-py: one read after the other, and 64 at
once beside 64 of its asynchronous client and beside its pipeline.

python_redis.py PORT ROUNDS, in a Python that has redis-py, with TOKENCACHE_LIBRARY. Prints rows as the drivers in C do.
"""

import asyncio
import contextlib
import random
import statistics
import sys
import time

import redis
import redis.asyncio

from python_get import VALUE, tokencache

ENTRIES, READS, AT_ONCE = 1_000, 512, 64


def microseconds(reads, drawn):
    """Of one read, by the clock on the wall: the server's part is in it."""
    begin = time.perf_counter()
    reads(drawn)
    return (time.perf_counter() - begin) / len(drawn) * 1e6


def in_batches(keys):
    return [keys[at : at + AT_ONCE] for at in range(0, len(keys), AT_ONCE)]


def asynchronous(port, loop):
    """Clients of redis-py for this loop: one with a connection for each read, and one with a single connection."""
    pooled = redis.asyncio.Redis(port=port, max_connections=AT_ONCE)
    single = loop.run_until_complete(redis.asyncio.Redis(port=port, single_connection_client=True).initialize())
    return {"a connection for each": pooled, "one connection": single}


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

        def at_once(get):
            async def reads(drawn):
                for batch in in_batches(drawn):
                    await asyncio.gather(*map(get, batch))

            return lambda drawn: loop.run_until_complete(reads(drawn))

        clients = asynchronous(port, loop)

        def theirs_at_once(client):
            return at_once(lambda key: client.get(f"string.{key}"))

        for key in keys:
            cache.set(key, bytes(VALUE))
            client.set(f"string.{key}", bytes(VALUE))
        sides = {
            "ours": lambda drawn: [cache.get(key) for key in drawn],
            "theirs": lambda drawn: [client.get(f"string.{key}") for key in drawn],
            "ours_64": at_once(cache.aget),
            "theirs_64": theirs_pipelined,
            **{name: theirs_at_once(client) for name, client in clients.items()},
        }
        seen = {side: [] for side in sides}
        draw = random.Random(1)
        for _ in range(rounds + 1):
            drawn = draw.choices(keys, k=READS)
            for side, reads in sides.items():
                seen[side].append(microseconds(reads, drawn))
        for asynchronous_client in clients.values():
            loop.run_until_complete(asynchronous_client.aclose())
    faster = min(clients, key=lambda name: statistics.median(seen[name][1:]))
    for row, ours, theirs in [
        ("redis_python", "ours", "theirs"),
        ("redis_python_gather", "ours_64", faster),
        ("redis_python_64", "ours_64", "theirs_64"),
    ]:
        # The first round warms up.
        pairs = list(zip(seen[ours][1:], seen[theirs][1:]))
        print(
            f"{row}\t{statistics.median(our / their for our, their in pairs)}\t"
            f"{statistics.median(our for our, _ in pairs):.1f} µs, redis-py "
            f"{statistics.median(their for _, their in pairs):.1f} µs (redis-py {redis.__version__} with hiredis"
            f"{f', {faster}' if theirs == faster else ''})"
        )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
