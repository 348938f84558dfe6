"""MSAL's token cache in Tokencache, so that every server of a farm knows what one of them was given.

PYTHONPATH=bindings/python/src python3 examples/python/msal_cache.py

Runs with MSAL (`pip install msal`), and without it with a stand-in that has the same methods.
"""

import json

import tokencache

try:
    from msal import SerializableTokenCache
except ImportError:
    print("MSAL is not installed; a stand-in takes its place.")

    class SerializableTokenCache:
        def __init__(self):
            self.has_state_changed = False
            self._state = {"AccessToken": {}}

        def serialize(self):
            self.has_state_changed = False
            return json.dumps(self._state)

        def deserialize(self, state):
            self._state = json.loads(state)

        def add(self, event):
            self._state["AccessToken"][" ".join(event["scope"])] = event["response"]
            self.has_state_changed = True


def with_msal_cache(cache, key, use):
    """Give `use` the MSAL cache of `key`, and store it if it changed.

    When another server was faster, `use` is called again with what that one stored. So it must bear repetition, as
    `acquire_token_silent` does: the second time it finds the other server's token and asks nobody.
    """
    while True:
        entry = cache.get_entry(key)
        msal_cache = SerializableTokenCache()
        if entry is not None:
            msal_cache.deserialize(entry.data.decode())
        answer = use(msal_cache)
        if not msal_cache.has_state_changed:
            return answer
        expected = tokencache.ABSENT if entry is None else entry.version
        try:
            cache.set(key, msal_cache.serialize().encode(), expected_version=expected)
            return answer
        except tokencache.Conflict:
            continue


def main():
    config = {
        "version": 1,
        "l2": {"kind": "sqlite", "path": "msal.db"},
        "encryption": {"algorithm": "none"},
    }
    with tokencache.open(config) as cache:
        for scope in ("orders.read", "orders.write"):
            # An application calls acquire_token_silent here, with `msal.ClientApplication(..., token_cache=it)`.
            with_msal_cache(cache, "alice.contoso", lambda it, scope=scope: it.add(signed_in(scope)))
        print(f"alice's blob: {len(cache.get('alice.contoso')):,} bytes")


def signed_in(scope):
    """What MSAL hears from the identity provider."""
    return {
        "client_id": "made-up-client",
        "scope": [scope],
        "token_endpoint": "https://login.microsoftonline.com/contoso/oauth2/v2.0/token",
        "response": {"access_token": f"made-up-token-for-{scope}", "expires_in": 3600, "token_type": "Bearer"},
    }


if __name__ == "__main__":
    main()
