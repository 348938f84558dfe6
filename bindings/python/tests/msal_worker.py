"""One server of a farm: stock MSAL over Tokencache. Does what each line of its input says, and answers it with a line:

request SCOPE        a request of the user                                     -> the access token it is served with
challenge SCOPE      a request that is turned away for want of a second factor -> the access token that comes of it
add NAME COUNT       so many answers of the provider, each for a scope of its own -> done
"""

from __future__ import annotations

import json
import sys
from typing import Any, Optional

import tokencache
import tokencache.msal
from identity_provider import AUTHORITY, CLIENT, WANTED, application


def main(document: str, key: str, port: str) -> None:
    with tokencache.open(json.loads(document)) as cache:
        token_cache = tokencache.msal.TokenCache(cache, key)
        app = application(int(port), token_cache) if port != "0" else None
        print("ready", flush=True)
        for line in sys.stdin:
            what, *words = line.split()
            if what == "add":
                for number in range(int(words[1])):
                    token_cache.add(answer(f"{words[0]}.{number}"))
                print("done", flush=True)
            else:
                print(served(app, words[0], WANTED if what == "challenge" else None), flush=True)


def served(app: Any, scope: str, claims: Optional[str]) -> str:
    accounts = app.get_accounts()
    if not accounts:
        return "signed-out"
    result = app.acquire_token_silent([scope], accounts[0], claims_challenge=claims)
    return str(result["access_token"]) if result and "access_token" in result else f"refused {result}"


def answer(scopes: str, token: str = "") -> dict[str, Any]:
    """What MSAL tells its cache of an answer of the provider."""
    return {
        "client_id": CLIENT,
        "scope": scopes.split(),
        "token_endpoint": f"{AUTHORITY}/oauth2/v2.0/token",
        "response": {"access_token": token or f"token for {scopes}", "expires_in": 3600, "token_type": "Bearer"},
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
