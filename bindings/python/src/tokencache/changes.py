"""Changes to an MSAL blob, and how they are brought onto one that somebody else has changed too.

A blob is the "unified cache" of the MSAL family: sections such as ``AccessToken``, each of named items. MSAL changes
it item by item, so a change can be made again on whatever another server has stored meanwhile, and nothing is lost.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any, NamedTuple, Optional

#: An item of a section: strings by name.
Item = dict[str, Any]
#: Sections of items by their keys, and whatever newer ones of the family put beside them.
State = dict[str, Any]

_ACCESS_TOKEN = "AccessToken"
#: Two access tokens that agree in these and share a scope make MSAL.NET refuse both.
_GROUP = (
    *("home_account_id", "environment", "client_id", "realm", "token_type"),
    *("key_id", "kid", "user_assertion_hash", "ext_cache_key", "ext"),
)
_ELSE = {"token_type": "Bearer"}
#: What every sign-in asks for says nothing of what a token is for.
_OF_EVERYBODY = {"openid", "profile", "offline_access"}


class Change(NamedTuple):
    """One item put into a section, or taken out of it.

    Attributes:
        section: Such as ``AccessToken``.
        key: The item's, as this member of the family makes it.
        before: What the change was made from.
        after: What is to be there, or None where it is taken out.
    """

    section: str
    key: str
    before: Item
    after: Optional[Item]


def decode(blob: bytes) -> State:
    """The sections of a blob.

    Raises:
        ValueError: It is not one. What it holds is not repeated.
    """
    try:
        state = json.loads(blob) if blob else {}
    except ValueError:
        state = None
    if not isinstance(state, dict):
        raise no_cache()
    return state


def no_cache() -> ValueError:
    """What is told of a blob that is none; nothing of it is repeated."""
    return ValueError("This is no token cache of MSAL. Where it is an entry: give other kinds of entries other keys.")


def encode(state: State) -> bytes:
    """The blob of the sections."""
    return json.dumps(state, separators=(",", ":")).encode()


def applied(state: State, changes: Iterable[Change]) -> State:
    """The sections after the changes, and without access tokens that have ended. ``state`` stays as it is."""
    state = {name: dict(section) if isinstance(section, dict) else section for name, section in state.items()}
    for change in changes:
        section = state.setdefault(change.section, {})
        if change.after is None:
            _take_out(section, change)
        else:
            if change.section == _ACCESS_TOKEN:
                _drop(section, [key for key, item in section.items() if overlap(item, change.after)])
            section[change.key] = change.after
    now = time.time()
    tokens = state.get(_ACCESS_TOKEN, {})
    _drop(tokens, [key for key, item in tokens.items() if has_ended(item, now)])
    return state


def between(before: State, after: State) -> list[Change]:
    """What was done to ``before`` by whoever made ``after`` of it."""
    changes = []
    for name in {**before, **after}:
        old, new = before.get(name, {}), after.get(name, {})
        if isinstance(old, dict) and isinstance(new, dict):
            changes += [
                Change(name, key, old.get(key, {}), new.get(key))
                for key in {**old, **new}
                if old.get(key) != new.get(key)
            ]
    return changes


def has_ended(item: Item, now: float) -> bool:
    """Whether an access token is over at Unix time ``now``."""
    try:
        return int(item["expires_on"]) < now
    except (KeyError, TypeError, ValueError):
        return False


def overlap(one: Item, other: Item) -> bool:
    """Whether one of two access tokens takes the other's place: the same for whom, and a scope of both."""
    return _group(one) == _group(other) and bool(_scopes(one) & _scopes(other))


def _group(token: Item) -> list[str]:
    # The members of the family differ in what they leave out.
    return [str(token.get(member) or _ELSE.get(member, "")).lower() for member in _GROUP]


def _scopes(token: Item) -> set[str]:
    scopes = set(str(token.get("target") or "").lower().split())
    return scopes - _OF_EVERYBODY or scopes


def _take_out(section: dict[str, Item], change: Change) -> None:
    """Take out the item that was meant, under whatever key; not the newer one that has come into its place."""
    secret = change.before.get("secret")
    there = section.get(change.key)
    gone = [key for key, item in section.items() if item == change.before]
    if there is not None and there.get("secret") == secret:
        gone.append(change.key)
    _drop(section, gone)


def _drop(section: dict[str, Item], keys: list[str]) -> None:
    for key in keys:
        section.pop(key, None)
