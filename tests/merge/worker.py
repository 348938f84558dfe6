"""One of several writers of one MSAL token cache: adds tokens of its own, one after the other, and writes down how each
was taken. The child of tests/merge_processes.rs does the same.

    worker.py DOCUMENT WRITER TOKENS LOG
"""

from __future__ import annotations

import json
import sys

import tokencache

KEY = "alice.home"


def token(writer: int, number: int) -> tuple[str, dict[str, str]]:
    name = f"w{writer}-{number}"
    return name, {
        "home_account_id": "alice.home", "environment": "login.microsoftonline.com", "client_id": "c1", "realm": "home",
        "credential_type": "AccessToken", "target": f"{name}/read", "secret": f"made-up-{name}",
        "cached_at": "1800000000", "expires_on": "4070908800",
    }


def add(cache: tokencache.Cache, writer: int, number: int) -> str:
    while True:
        try:
            base = cache.get_entry(KEY)
            document = json.loads(base.data) if base else {}
            name, item = token(writer, number)
            document.setdefault("AccessToken", {})[name] = item
            stored = cache.set_merged(KEY, base, json.dumps(document, indent=4).encode())
            assert stored and f'"made-up-{name}"'.encode() in stored.data
            return "degraded" if stored.degraded else "stored"
        except (tokencache.Conflict, tokencache.L2Error):
            continue


def main() -> None:
    document, writer, tokens, log = sys.argv[1:]
    with tokencache.open(document) as cache, open(log, "w", buffering=1) as taken:
        for number in range(int(tokens)):
            print(add(cache, int(writer), number), file=taken)
        while not cache.flush(1):
            pass


main()
