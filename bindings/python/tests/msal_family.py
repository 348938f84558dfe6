"""A server with stock MSAL over Tokencache. Does what each line of its input says, and answers it with a line;
tests/dotnet/msal does the same with MSAL.NET:

sign-in USER SCOPE     somebody comes back from the provider with a code     -> the access token
silent ACCOUNT SCOPE   a request of that home account                       -> cache or provider, and the access token
has ACCOUNT SCOPE      whether a token for it is there, as this process sees it -> yes or no
add NAME COUNT         so many tokens of the app itself, each for a resource of its own -> done
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

import msal

import tokencache
import tokencache.msal
from identity_provider import CLIENT, STORED, TENANT, application


class Server:
    def __init__(self, cache: tokencache.Cache, port: int) -> None:
        self.cache, self.port = cache, port

    def sign_in(self, user: str, scope: str) -> str:
        signing_in = msal.SerializableTokenCache()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # It is kept, and needs no browser.
            found = self.app(signing_in).acquire_token_by_authorization_code(user, [scope])
        (account,) = self.app(signing_in).get_accounts()
        tokencache.msal.TokenCache(self.cache, account["home_account_id"]).merge(signing_in.serialize())
        return str(found["access_token"])

    def silent(self, account: str, scope: str) -> str:
        app = self.app(tokencache.msal.TokenCache(self.cache, account))
        accounts = app.get_accounts()
        if not accounts:
            return "signed-out"
        found = app.acquire_token_silent_with_error([scope], accounts[0])
        if not found or "access_token" not in found:
            return f"! {found}"
        return f"{'cache' if found['token_source'] == 'cache' else 'provider'} {found['access_token']}"

    def has(self, account: str, scope: str) -> str:
        return "yes" if f'"{scope}"'.encode() in (self.cache.get(account) or b"") else "no"

    def add(self, name: str, count: str) -> str:
        app = self.app(tokencache.msal.TokenCache(self.cache, tokencache.msal.app_key(CLIENT, TENANT)))
        for number in range(int(count)):
            assert "access_token" in app.acquire_token_for_client([f"{name}.{number}/.default"])
        return "done"

    def app(self, token_cache: Any) -> Any:
        return application(self.port, token_cache, host=STORED)


def main(document: str, port: str) -> None:
    with tokencache.open(json.loads(document)) as cache:
        server = Server(cache, int(port))
        print("ready", flush=True)
        for line in sys.stdin:
            what, *words = line.split()
            print(getattr(server, what.replace("-", "_"))(*words), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
