"""MSAL's token cache in Tokencache, so that every server of a farm knows what one of them was given.

``msal.ConfidentialClientApplication(..., token_cache=tokencache.msal.TokenCache(cache, key))`` is the one line that
changes. A key is one user's or one app's partition: ``home_account_id`` for a user, ``app_key`` for an app.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, NoReturn, Optional

try:
    import msal
except ImportError as missing:
    raise ImportError("tokencache.msal needs MSAL: pip install msal.") from missing

from .cache import Cache
from .changes import Change, applied, between, decode, encode, has_ended, no_cache
from .entry import Entry
from .errors import L2Error
from .options import Key
from .storing import astore, store
from .times import Duration

logger = logging.getLogger("tokencache.msal")


def app_key(client_id: str, tenant_id: str) -> str:
    """The key under which MSAL.NET keeps the tokens of an app itself, of its client credentials.

    Args:
        client_id: Of the app.
        tenant_id: Where its tokens come from.

    Returns:
        The key.

    Example:
        >>> app_key("11111111-2222-3333-4444-555555555555", "contoso")
        '11111111-2222-3333-4444-555555555555_contoso_AppTokenCache'
    """
    return f"{client_id}_{tenant_id}_AppTokenCache"


class Partition(msal.SerializableTokenCache):
    """The blob of one key as MSAL uses it: read from what is known, changed item by item.

    Where the blob comes from and when changes are stored is for those that are made of it: ``TokenCache``, which does
    both at each call, and what ``Cache.user`` gives, which does both around a block.
    """

    def __init__(self) -> None:
        super().__init__()
        # Held while a change is made and stored; MSAL's own lock is for the state in memory alone.
        self._changing = threading.RLock()
        self._changes: Optional[list[Change]] = None
        #: What is in memory, as it was read, and whether anything was read at all.
        self._held: tuple[Optional[Entry], bytes] = None, b""
        self._is_known = False

    def search(self, credential_type: str, target: Any = None, query: Any = None, **options: Any) -> Any:
        """Find items as MSAL asks for them, in what is newest.

        Args:
            credential_type: A section, such as ``AccessToken``.
            target: The scopes of an access token.
            query: What the items must have.
            **options: MSAL's own.

        Returns:
            The items. Unlike MSAL's own generator it holds no lock while they are looked at.

        Raises:
            L2Error: Nobody could be asked, and this is not about an app's own token, which the provider gives again.
            SealError: The entry cannot be opened.
            ValueError: The entry is no token cache of MSAL.

        Example:
            >>> list(token_cache.search(msal.TokenCache.CredentialType.ACCOUNT))
        """
        newest, is_told = None, True
        try:
            newest = self._newest()
        except L2Error as failure:
            if not query or query.get("home_account_id", "") is not None:
                raise
            is_told = False
            logger.warning("The app's own token is asked of the identity provider, since %s", failure)
        # At once, for another thread may be late with what it has read before.
        with self._lock:
            if is_told:
                self._take(newest)
            return iter(list(super().search(credential_type, target, query, **options)))

    def add(self, event: Any, **options: Any) -> None:
        """Take in what the identity provider answered, as MSAL calls it; stored as one change.

        Args:
            event: MSAL's account of a request and its answer.
            **options: MSAL's own.

        Raises:
            L2Error: L2 failed and the write could not be kept for later.
            SealError: The entry that is there cannot be opened.

        Example:
            >>> token_cache.add({"client_id": "app", "scope": ["read"], "response": {"access_token": "..."}})
        """
        with self._changing:
            changes: list[Change] = []
            self._changes = changes
            try:
                super().add(event, **options)
            finally:
                self._changes = None
            self._change(changes)

    def modify(self, credential_type: str, old_entry: Any, new_key_value_pairs: Any = None) -> None:
        """Put one item, or take it out, as MSAL calls it.

        Args:
            credential_type: A section, such as ``RefreshToken``.
            old_entry: What is there.
            new_key_value_pairs: What changes; None to take the item out.

        Raises:
            L2Error: L2 failed and the write could not be kept for later.
            SealError: The entry that is there cannot be opened.

        Example:
            >>> token_cache.modify("RefreshToken", item, {"secret": "newer"})
        """
        key = self.key_makers[credential_type](**old_entry)
        after = {**old_entry, **new_key_value_pairs} if new_key_value_pairs else None
        if after is None and has_ended(old_entry, time.time()):
            return  # The next write leaves it behind; it is worth none of its own.
        with self._changing:
            change = Change(credential_type, key, dict(old_entry), after)
            if self._changes is None:
                self._change([change])
            else:
                self._changes.append(change)

    def merge(self, blob: str) -> None:
        """Put the items of another blob into this one, as one change.

        For a user who has just signed in with a cache in memory, since ``home_account_id`` is not known before, and for
        blobs that were kept elsewhere.

        Args:
            blob: What ``serialize`` of any cache of MSAL returned.

        Raises:
            L2Error: L2 failed and the write could not be kept for later.
            SealError: The entry that is there cannot be opened.
            ValueError: It is no blob of MSAL.

        Example:
            >>> TokenCache(cache, home_account_id).merge(signing_in.serialize())
        """
        with self._changing:
            self._change(between({}, decode(blob.encode())))

    def _newest(self) -> Optional[Entry]:
        """What is newest, to be had in memory."""
        raise NotImplementedError

    def _take(self, newest: Optional[Entry]) -> None:
        """Have in memory what ``_newest`` has answered."""
        if newest is None or newest is not self._entry:
            self._hold(newest)

    def _change(self, changes: list[Change]) -> None:
        """Make changes that belong together."""
        raise NotImplementedError

    @property
    def _entry(self) -> Optional[Entry]:
        return self._held[0]

    def _hold(self, entry: Optional[Entry]) -> None:
        """Have this entry in memory from now on."""
        with self._lock:
            before = None if self._entry is None else self._entry.version
            if self._is_known and before == (None if entry is None else entry.version):
                return
            blob = b"" if entry is None else entry.data
            # MSAL would take any JSON, and say in its error what is in it.
            if blob and not blob.lstrip().startswith(b"{"):
                raise no_cache()
            try:
                super().deserialize(blob.decode())
            except ValueError:
                raise no_cache() from None
            self._held, self._is_known = (entry, blob), True

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A token cache of MSAL over a Cache cannot be pickled or copied; make one for the same key.")


class TokenCache(Partition):
    """A ``msal.SerializableTokenCache`` that is the newest on every server, and loses no update.

    Each look is answered from what L1 holds as long as nobody has changed it. Each change is stored with
    compare-and-swap; when another server was faster, both changes are kept, as by ``Cache.set_merged``. While L2 is
    down, L1 answers, and changes are owed to L2 and merged when it is back. Any number of threads and MSAL applications
    may use one.

    Args:
        cache: An open cache.
        key: The partition: ``home_account_id`` of a user, ``app_key`` of an app, or any other that you always use.
        ttl: How long the entry lives after its last change; as configured when left out.
        sliding: A window that every look renews.

    Raises:
        ImportError: MSAL is not installed; raised by the import of this module.

    Example:
        >>> token_cache = tokencache.msal.TokenCache(cache, app_key("app", "contoso"))
        >>> app = msal.ConfidentialClientApplication("app", token_cache=token_cache, ...)
    """

    def __init__(
        self, cache: Cache, key: Key, *, ttl: Optional[Duration] = None, sliding: Optional[Duration] = None
    ) -> None:
        super().__init__()
        self._cached, self._key = cache, key
        self._lifetime: dict[str, Any] = {"ttl": ttl, "sliding": sliding}

    def _newest(self) -> Optional[Entry]:
        # Mostly L1 has what is in memory here; to see that costs a fraction of an entry.
        blob = self._cached._hit(self._key)
        entry, held = self._held
        return entry if blob and blob == held else self._cached.get_entry(self._key)

    def _change(self, changes: list[Change]) -> None:
        store(self._cached, self._key, self, changes, **self._lifetime)


class User:
    """One key's token cache around an ``async with`` block; ``Cache.user`` makes it.

    The block sees what was there when it began, and what it did itself. At its end, also at the end by an exception or
    a cancellation, the changes are stored, merged with what others have made of the entry since it began. What a thread
    is given that outlives its block is stored at once, as ``TokenCache`` does.

    Args:
        cache: An open cache.
        key: The partition.
        ttl: How long the entry lives after its last change; as configured when left out.
        sliding: A window that every look renews.

    Raises:
        SealError: The entry cannot be opened.
        ValueError: The entry is no token cache of MSAL.

    Example:
        >>> async with cache.user(home_account_id) as token_cache:
        ...     app = msal.ConfidentialClientApplication("app", token_cache=token_cache, ...)
        ...     result = await asyncio.to_thread(app.acquire_token_silent, scopes, account)
    """

    def __init__(
        self, cache: Cache, key: Key, *, ttl: Optional[Duration] = None, sliding: Optional[Duration] = None
    ) -> None:
        self._cached, self._key = cache, key
        self._lifetime: dict[str, Any] = {"ttl": ttl, "sliding": sliding}
        self._base: Optional[Entry] = None

    async def __aenter__(self) -> Partition:
        self._collected, self._base = _Collected(), None
        try:
            self._base = await self._cached.aget_entry(self._key)
            self._collected._hold(self._base)
        except L2Error as failure:
            self._collected.failure = failure
        return self._collected

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._collected.end(self._store_at_once)
        if not self._collected.made:
            return
        # The provider has given these tokens and may have ended others for them: whoever is cancelled stores them yet.
        storing, cancelled = self._store(), None
        while not storing.done():
            try:
                await asyncio.shield(storing)
            except asyncio.CancelledError as cancellation:
                cancelled = cancellation
                if storing.cancelled():  # By a loop that ends, which cancels every task that it has.
                    storing = self._store()
        storing.result()
        if cancelled is not None:
            raise cancelled

    def _store(self) -> asyncio.Future[None]:
        collected = self._collected
        return asyncio.ensure_future(
            astore(self._cached, self._key, collected, self._base, collected.made, **self._lifetime)
        )

    def _store_at_once(self, changes: list[Change]) -> None:
        store(self._cached, self._key, self._collected, changes, **self._lifetime)


class _Collected(Partition):
    """A blob in memory, and what was changed in it."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[Change] = []
        self.failure: Optional[L2Error] = None
        self._store_at_once: Optional[Callable[[list[Change]], None]] = None

    def end(self, store_at_once: Callable[[list[Change]], None]) -> None:
        """Collect no more: a thread whose block was cancelled goes on, and nobody comes for what it is given yet."""
        with self._changing:
            self._store_at_once = store_at_once

    def _newest(self) -> Optional[Entry]:
        if self.failure is not None:
            raise self.failure
        return None

    def _take(self, newest: Optional[Entry]) -> None:
        """Nothing: the block sees what was there when it began, and what it did itself."""

    def _change(self, changes: list[Change]) -> None:
        if self._store_at_once is not None:
            self._store_at_once(changes)
            return
        self.made += changes
        with self._lock:
            state = applied(decode(self.serialize().encode()), changes)
            super().deserialize(encode(state).decode())
