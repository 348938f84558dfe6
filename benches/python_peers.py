"""`Cache.get` of Python, and MSAL's token cache over it, beside what programs read their tokens from now: cachetools, and
msal-extensions.

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
from tokencache.msal import TokenCache

APP_TOKEN = 2_000
USER = Path(__file__).resolve().parent.parent / "tests/fixtures/msal/user.json"


def in_cachetools(cache, keys, length):
    for key in keys:
        cache[key] = bytes(length)
    return cache.get


def in_l1(cache, keys, length):
    for key in keys:
        cache.set(key, bytes(length))
    return cache.get


def load_of_a_file(folder):
    """The whole of one user's tokens, as text."""
    persistence = msal_extensions.FilePersistence(f"{folder}/blob")
    persistence.save("v" * VALUE)
    return lambda _: persistence.load()


def in_a_file(folder):
    """One user's tokens, in a file that nobody changes: it is asked when it changed, and not read again."""
    persistence = msal_extensions.FilePersistence(f"{folder}/user")
    persistence.save(USER.read_text())
    return msal_extensions.PersistedTokenCache(persistence)


def in_ours(cache):
    """The same tokens as an entry."""
    cache.set("user", USER.read_bytes())
    return TokenCache(cache, "user")


def search(tokens):
    """MSAL's own way to the refresh token."""
    return lambda _: next(tokens.search("RefreshToken"))


def main(rounds):
    keys = [f"{number:036d}.{number:036d}" for number in range(ENTRIES)]
    drawn = random.Random(1).choices(keys, [1 / (rank + 1) ** 0.99 for rank in range(ENTRIES)], k=READS)
    document = {"version": 1, "l1": {"capacity_bytes": 2 * ENTRIES * VALUE}}
    with (
        tempfile.TemporaryDirectory() as folder,
        tokencache.open(document) as cache,
        tokencache.open(document) as apps,
    ):
        get, look = in_l1(cache, keys, VALUE), search(in_ours(cache))
        get_app = in_l1(apps, keys, APP_TOKEN)
        pairs = {
            "ttl_cache": (get, in_cachetools(cachetools.TTLCache(ENTRIES, 3600), keys, VALUE)),
            "lru_cache": (get, in_cachetools(cachetools.LRUCache(ENTRIES), keys, VALUE)),
            "lru_cache_app": (get_app, in_cachetools(cachetools.LRUCache(ENTRIES), keys, APP_TOKEN)),
            "msal_load": (get, load_of_a_file(folder)),
            "msal_search": (look, search(in_a_file(folder))),
        }
        seen = {name: [] for name in pairs}
        for _ in range(rounds + 1):
            for name, pair in pairs.items():
                seen[name].append([nanoseconds(side, drawn) for side in pair])
    for name, figures in seen.items():
        # The first round warms up.
        ratio = statistics.median(ours / theirs for ours, theirs in figures[1:])
        ours, theirs = map(statistics.median, zip(*figures[1:]))
        print(f"python_{name}\t{ratio}\t{ours:.0f} ns beside {theirs:.0f}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
