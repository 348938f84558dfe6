"""MSAL's token cache in Tokencache, so that every server of a farm knows what one of them was given.

pip install msal
PYTHONPATH=bindings/python/src python3 examples/python/msal_cache.py

An application has one changed line, `token_cache=`:

    msal.ConfidentialClientApplication(CLIENT, authority=..., client_credential=..., token_cache=TokenCache(cache, key))

Here no provider is asked; MSAL is told by hand what one has answered.
"""

import tokencache
from tokencache.msal import TokenCache

CONFIG = {
    "version": 1,
    "l2": {"kind": "sqlite", "path": "msal.db"},
    "encryption": {"algorithm": "none"},
}
ALICE = "alice.contoso"  # Her home_account_id.


def answered(scope):
    """What MSAL tells its cache when the identity provider has answered."""
    return {
        "client_id": "made-up-client",
        "scope": [scope],
        "token_endpoint": "https://login.microsoftonline.com/contoso/oauth2/v2.0/token",
        "response": {"access_token": f"made-up-token-for-{scope}", "expires_in": 3600, "token_type": "Bearer"},
    }


def main():
    # Two servers; in earnest they are two machines, and L2 is a Redis.
    with tokencache.open(CONFIG) as here, tokencache.open(CONFIG) as there:
        first, second = TokenCache(here, ALICE), TokenCache(there, ALICE)
        first.add(answered("orders.read"))
        second.add(answered("orders.write"))
        first.add(answered("mail.send"))
        for name, server in (("first", first), ("second", second)):
            tokens = sorted(token["target"] for token in server.search("AccessToken"))
            print(f"the {name} server knows the tokens for {', '.join(tokens)}")


if __name__ == "__main__":
    main()
