"""A program that is built on msal-extensions, over Tokencache."""

from __future__ import annotations

import unittest
from typing import Any

import tokencache
from msal_support import ALICE, PATIENT, AccessToken, Msal, answer
from sealing import ring, sealing
from support import shared

try:
    from msal_extensions import PersistedTokenCache
    from msal_extensions.persistence import PersistenceNotFound

    from tokencache.msal_extensions import Persistence
except ImportError as missing:
    raise unittest.SkipTest("msal-extensions is not installed") from missing


class Persisted(Msal):
    def persistence(self, **members: Any) -> Persistence:
        cache = self.open_shared(resilience=PATIENT, **members)
        return Persistence(cache, ALICE, str(self.database.parent / f"server{id(cache)}"))

    def test_servers_share_one_persistence(self) -> None:
        here, there = (PersistedTokenCache(self.persistence()) for _ in range(2))
        self.signed_in(here)
        app = self.app(there)
        found = app.acquire_token_silent(["orders.read"], app.get_accounts()[0])
        self.assertEqual(found["token_source"], "cache")

    def test_nothing_is_lost_between_servers_that_share_no_lock(self) -> None:
        here, there = (PersistedTokenCache(self.persistence()) for _ in range(2))
        here.add(answer("one"))
        there.add(answer("two"))
        for number in range(5):
            here.add(answer(f"here{number}"))
            there.add(answer(f"there{number}"))
        expected = {"one", "two", *(f"{where}{number}" for where in ("here", "there") for number in range(5))}
        for seen in (here, there, PersistedTokenCache(self.persistence())):
            self.assertEqual({token["target"] for token in seen.search(AccessToken)}, expected)

    def test_what_came_between_its_load_and_its_save_is_kept_and_seen(self) -> None:
        here, there = self.persistence(), PersistedTokenCache(self.persistence())
        cache = PersistedTokenCache(here)
        cache.add(answer("one"))
        save, between = here.save, iter([answer("two")])

        def overtaken(content: str) -> None:
            for event in between:
                there.add(event)
            save(content)

        here.save = overtaken  # type: ignore[method-assign]
        super(PersistedTokenCache, cache).modify(AccessToken, next(cache.search(AccessToken)), {"secret": "newer"})
        cache.add(answer("three"))
        self.assertEqual(self.targets(), {"one", "two", "three"})
        self.assertEqual({token["target"] for token in cache.search(AccessToken)}, {"one", "two", "three"})
        self.assertIn("newer", {token["secret"] for token in there.search(AccessToken)})

    def test_what_could_not_be_saved_is_saved_with_the_next_change(self) -> None:
        cache = self.open_shared(resilience=PATIENT, limits={"max_value_bytes": 16})
        here = PersistedTokenCache(Persistence(cache, ALICE, str(self.database.parent / "server")))
        with self.assertRaises(tokencache.ValueTooLarge):
            here.add(answer("one"))
        cache.configure(shared(self.database, resilience=PATIENT))
        here.add(answer("two"))
        self.assertEqual(self.targets(), {"one", "two"})

    def test_a_removal_is_one_everywhere(self) -> None:
        here, there = (PersistedTokenCache(self.persistence()) for _ in range(2))
        app = self.signed_in(here)
        app.remove_account(app.get_accounts()[0])
        self.assertEqual(self.app(there).get_accounts(), [])

    def test_nothing_is_said_as_other_persistences_say_it(self) -> None:
        persistence = self.persistence()
        for ask in (persistence.load, persistence.time_last_modified):
            with self.assertRaises(PersistenceNotFound):
                ask()
        self.assertFalse(persistence.is_encrypted)
        self.assertTrue(self.persistence(encryption=sealing(ring(active=1))).is_encrypted)
        self.assertTrue(persistence.get_location().startswith(str(self.database.parent)))

    def test_it_stays_quiet_while_nothing_changes(self) -> None:
        persistence = self.persistence()
        cache = PersistedTokenCache(persistence)
        cache.add(answer("one"))
        loads = 0
        load = persistence.load

        def counted() -> str:
            nonlocal loads
            loads += 1
            return load()

        persistence.load = counted  # type: ignore[method-assign]
        for _ in range(20):
            list(cache.search(AccessToken))
        self.assertEqual(loads, 0)


if __name__ == "__main__":
    unittest.main()
