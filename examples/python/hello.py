"""A first program: open, set, get, close.

PYTHONPATH=bindings/python/src python3 examples/python/hello.py
"""

import tokencache

CONFIG = {
    "version": 1,
    "l2": {"kind": "sqlite", "path": "hello.db"},
    "encryption": {"algorithm": "none"},
}

with tokencache.open(CONFIG) as cache:
    cache.set("alice", b"made-up-token", ttl=3600)

    token = cache.get("alice")
    if token is None:
        print("alice must sign in.")
    else:
        print(f"alice: {token.decode()}")

    # What is known of an entry, and its bytes without a copy.
    entry = cache.get_entry("alice")
    if entry is not None:
        with entry:
            print(f"version {entry.version}, from {entry.tier.name}, until {entry.expires_at:%Y-%m-%d %H:%M} UTC")
