"""`Cache.get` of Python beside what programs read their tokens from now: cachetools, and msal-extensions.

python_peers.py ROUNDS, in a Python that has them, with TOKENCACHE_LIBRARY. Prints rows as the drivers in C do.
"""

import random
import statistics
import sys
import tempfile
from pathlib import Path

import cachetools
import msal_extensions

from python_get import ENTRIES, READS, VALUE, nanoseconds, tokencache

USER = Path(__file__).resolve().parent.parent / "tests/fixtures/msal/user.json"


def in_cachetools(cache, keys):
    for key in keys:
        cache[key] = bytes(VALUE)
    return cache.get


def load_of_a_file(folder):
    """The whole of one user's tokens, as text."""
    persistence = msal_extensions.FilePersistence(f"{folder}/blob")
    persistence.save("v" * VALUE)
    return lambda _: persistence.load()


def search_of_a_file(folder):
    """One user's refresh token, in a file that nobody changes: it is asked when it changed, and not read again."""
    persistence = msal_extensions.FilePersistence(f"{folder}/user")
    persistence.save(USER.read_text())
    cache = msal_extensions.PersistedTokenCache(persistence)
    return lambda _: next(cache.search("RefreshToken"))


def main(rounds):
    keys = [f"{number:036d}.{number:036d}" for number in range(ENTRIES)]
    drawn = random.Random(1).choices(keys, [1 / (rank + 1) ** 0.99 for rank in range(ENTRIES)], k=READS)
    with (
        tempfile.TemporaryDirectory() as folder,
        tokencache.open({"version": 1, "l1": {"capacity_bytes": 2 * ENTRIES * VALUE}}) as cache,
    ):
        for key in keys:
            cache.set(key, bytes(VALUE))
        peers = {
            "ttl_cache": in_cachetools(cachetools.TTLCache(ENTRIES, 3600), keys),
            "lru_cache": in_cachetools(cachetools.LRUCache(ENTRIES), keys),
            "msal_load": load_of_a_file(folder),
            "msal_search": search_of_a_file(folder),
        }
        seen = {name: [] for name in ["get", *peers]}
        for _ in range(rounds + 1):
            for name, function in {"get": cache.get, **peers}.items():
                seen[name].append(nanoseconds(function, drawn))
    # The first round warms up.
    seen = {name: figures[1:] for name, figures in seen.items()}
    for name in peers:
        ratio = statistics.median(ours / theirs for ours, theirs in zip(seen["get"], seen[name]))
        print(f"python_{name}\t{ratio}\t{statistics.median(seen['get']):.0f} ns beside {statistics.median(seen[name]):.0f}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
