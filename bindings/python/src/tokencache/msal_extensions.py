"""A persistence for ``msal_extensions.PersistedTokenCache`` that servers share.

For programs that are built on msal-extensions: they keep their ``PersistedTokenCache`` and change what is under it. A
new one is better off with ``tokencache.msal.TokenCache``, which needs no file to lock.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Optional

try:
    from msal_extensions.persistence import BasePersistence, PersistenceNotFound
except ImportError as missing:
    raise ImportError("tokencache.msal_extensions needs msal-extensions: pip install msal-extensions.") from missing

from .cache import Cache
from .changes import between, decode
from .entry import Entry
from .options import Key
from .storing import store


class Persistence(BasePersistence):  # type: ignore[misc, unused-ignore]
    """One entry of a cache as the persistence of one ``PersistedTokenCache``.

    When another server has stored since this one read, what both have changed is kept, as in ``tokencache.msal``.

    Args:
        cache: An open cache.
        key: The entry.
        location: A path, as other persistences have it: ``PersistedTokenCache`` puts the file beside it by which the
            processes of this machine take turns.

    Raises:
        ImportError: msal-extensions is not installed; raised by the import of this module.

    Example:
        >>> token_cache = msal_extensions.PersistedTokenCache(Persistence(cache, "alice", "~/.orders/alice"))
    """

    def __init__(self, cache: Cache, key: Key, location: str) -> None:
        self._cache, self._key = cache, key
        self._location = os.path.expanduser(location)
        self._lock = threading.Lock()
        #: What the ``PersistedTokenCache`` has in memory, and the entry it came from.
        self._base = b""
        self._entry: Optional[Entry] = None
        #: The version seen last, 0 for none, and since when.
        self._seen, self._since = 0, 0.0
        #: Whether L2 holds the blobs under a seal.
        self.is_encrypted = cache.stats()["encryption"]["algorithm"] != "none"

    def save(self, content: str) -> None:
        """Store the blob; what others have stored since the last ``load`` is kept.

        Args:
            content: MSAL's blob.

        Raises:
            L2Error: L2 failed and the write could not be kept for later.
            SealError: The entry that is there cannot be opened.

        Example:
            >>> persistence.save(token_cache.serialize())
        """
        self._base, before = content.encode(), self._base
        try:
            store(self._cache, self._key, self, between(decode(before), decode(self._base)))
        except BaseException:
            self._base = before  # It is not stored, so that the next one is to bring it.
            raise

    def load(self) -> str:
        """Read the blob.

        Returns:
            What ``save`` stored, here or elsewhere.

        Raises:
            msal_extensions.PersistenceNotFound: There is none.
            L2Error: Nothing was found and L2 could not be asked.
            SealError: It cannot be opened.

        Example:
            >>> token_cache.deserialize(persistence.load())
        """
        entry = self._cache.get_entry(self._key)
        if entry is None:
            raise self._nothing()
        with self._lock:
            self._entry, self._base = entry, entry.data
            self._see(entry.version)
        return entry.data.decode()

    def time_last_modified(self) -> float:
        """When a change was first seen here: no clock but this machine's takes part.

        Returns:
            Unix time in seconds.

        Raises:
            msal_extensions.PersistenceNotFound: There is no entry.
            L2Error: Nothing was found and L2 could not be asked.

        Example:
            >>> persistence.time_last_modified() <= time.time()
            True
        """
        entry = self._cache.get_entry(self._key)
        if entry is None:
            raise self._nothing()
        with self._lock:
            return self._see(entry.version)

    def get_location(self) -> str:
        """The path beside which the processes of this machine take turns.

        Returns:
            The ``location``.

        Example:
            >>> persistence.get_location() + ".lockfile"
        """
        return self._location

    def _hold(self, entry: Optional[Entry]) -> None:
        blob = b"" if entry is None else entry.data
        with self._lock:
            # What others have added is news to the `PersistedTokenCache`, and it is to ask for it.
            is_ours = entry is not None and decode(blob) == decode(self._base)
            self._entry, self._seen, self._since = entry, entry.version if entry and is_ours else 0, time.time()

    def _see(self, version: int) -> float:
        if version != self._seen:
            self._seen, self._since = version, time.time()
        return self._since

    def _nothing(self) -> Exception:
        nothing: Exception = PersistenceNotFound(
            message="Nothing has been stored under this key.", location=self._location
        )
        return nothing
