"""Stock MSAL over Tokencache: one changed line, and every server knows what one of them was given."""

from __future__ import annotations

import json
import logging
import pickle
import random
import subprocess
import sys
import threading
import time
import unittest
import unittest.mock
from pathlib import Path
from typing import Any

import redis_server
import tokencache
from identity_provider import CLIENT, TENANT
from msal_support import ALICE, ENVIRONMENT, PATIENT, AccessToken, Msal, Worker, answer, msal
from sealing import ring, sealing
from support import shared

Stock = msal.SerializableTokenCache


class Farm(Msal):
    def test_an_account_signed_in_on_one_server_is_found_on_the_other(self) -> None:
        self.signed_in(self.token_cache())
        there = self.app(self.token_cache())
        (account,) = there.get_accounts()
        self.assertEqual(account["username"], "alice@contoso.example")
        found = there.acquire_token_silent(["orders.read"], account)
        self.assertEqual((found["access_token"], found["token_source"]), ("alice/orders.read/plain/1", "cache"))
        self.assertEqual(len(self.provider.granted), 1)

    def test_what_lies_in_l2_may_be_sealed(self) -> None:
        sealed = {"encryption": sealing(ring(active=1))}
        self.signed_in(self.token_cache(**sealed))
        for suffix in ("", "-wal"):
            file = Path(f"{self.database}{suffix}")
            self.assertNotIn(b"alice/refresh", file.read_bytes() if file.exists() else b"")
        there = self.app(self.token_cache(**sealed))
        found = there.acquire_token_silent(["orders.read"], there.get_accounts()[0])
        self.assertEqual(found["token_source"], "cache")
        other = self.token_cache(encryption=sealing(ring(active=2)))
        with self.assertRaises(tokencache.SealUnknownKey):
            self.app(other).get_accounts()
        with self.assertRaises(tokencache.SealUnknownKey):
            other.add(answer("one"))

    def test_a_blob_is_what_every_member_of_the_family_reads(self) -> None:
        self.signed_in(self.token_cache())
        stock = msal.SerializableTokenCache()
        stock.deserialize(json.dumps(self.blob()))
        app = self.app(stock)
        found = app.acquire_token_silent(["orders.read"], app.get_accounts()[0])
        self.assertEqual(found["token_source"], "cache")

    def test_an_apps_own_token_is_fetched_once_for_all_servers(self) -> None:
        key = tokencache.msal.app_key(CLIENT, TENANT)
        self.assertEqual(key, f"{CLIENT}_{TENANT}_AppTokenCache")
        apps = [self.app(self.token_cache(key)) for _ in range(3)]
        tokens = {app.acquire_token_for_client(["api/.default"])["access_token"] for app in apps * 3}
        self.assertEqual((len(tokens), len(self.provider.granted)), (1, 1))

    def test_no_request_sees_the_token_from_before_a_second_factor(self) -> None:
        """Two processes, requests to either of them, and half way a challenge that one of them answers."""
        count = 10_000
        document = shared(self.database, resilience=PATIENT)
        self.signed_in(self.token_cache())
        servers = [Worker(self, document, ALICE, self.provider.port) for _ in range(2)]
        chance, stale, wrong = random.Random(9), 0, 0
        for number in range(count):
            if number == count // 2:
                self.assertIn("/mfa/", chance.choice(servers).ask("challenge orders.read"))
            token = chance.choice(servers).ask("request orders.read")
            stale += "/plain/" in token and number >= count // 2
            wrong += not token.startswith("alice/orders.read/")
        print(f"{count} requests to two processes: {stale} saw a token from before the second factor, {wrong} failed")
        self.assertEqual((stale, wrong), (0, 0))
        self.assertEqual([kind for kind, _, _ in self.provider.granted], ["authorization_code", "refresh_token"])

    def test_what_has_not_changed_is_looked_at_in_memory(self) -> None:
        here, there = self.token_cache(), self.token_cache()
        self.signed_in(here)
        with unittest.mock.patch.object(here._cached, "get_entry", side_effect=AssertionError("an entry is made")):
            self.assertEqual(len(self.app(here).get_accounts()), 1)
        there.add(answer("newer"))
        self.assertIn("newer", {item["target"] for item in here.search(AccessToken)})

    def test_what_another_thread_read_before_is_not_looked_at_after_what_is_newer(self) -> None:
        here = self.token_cache()
        here.add(answer("older"))
        read, stock_search = here._cached.get_entry, Stock.search
        is_read, may_go_on = threading.Event(), threading.Event()

        def get_entry(key: str) -> Any:
            entry = read(key)
            if threading.current_thread() is other:
                is_read.set()
                may_go_on.wait()
            return entry

        def search(*arguments: Any, **options: Any) -> Any:
            if threading.current_thread() is not other:
                may_go_on.set()
                other.join(0.2)  # What it has read comes into memory now, or later.
            return stock_search(*arguments, **options)

        other = threading.Thread(target=lambda: here.search(AccessToken))
        with unittest.mock.patch.object(here._cached, "get_entry", get_entry):
            self.token_cache().add(answer("first"))
            other.start()
            is_read.wait()
            here.add(answer("newer"))
            with unittest.mock.patch.object(Stock, "search", search):
                found = {item["target"] for item in here.search(AccessToken)}
            other.join()
        self.assertEqual(found, {"older", "first", "newer"})

    def test_a_refresh_token_that_rotates_is_known_to_the_other_server(self) -> None:
        document = shared(self.database, resilience=PATIENT)
        self.signed_in(self.token_cache())
        servers = [Worker(self, document, ALICE, self.provider.port) for _ in range(2)]
        for number in range(10):
            token = servers[number % 2].ask(f"request scope{number}")
            self.assertTrue(token.startswith(f"alice/scope{number}/"), token)
        self.assertEqual(len(self.targets()), 11)

    def test_a_sign_out_is_one_everywhere(self) -> None:
        here, there = self.signed_in(self.token_cache()), self.app(self.token_cache())
        (account,) = there.get_accounts()
        here.remove_account(account)
        self.assertEqual(there.get_accounts(), [])
        self.assertIsNone(there.acquire_token_silent(["orders.read"], account))
        blob = self.blob()
        self.assertEqual([blob[name] for name in ("AccessToken", "RefreshToken", "IdToken", "Account")], [{}] * 4)


class Updates(Msal):
    WRITERS, ADDITIONS = 8, 50

    def all_are_kept(self, document: dict[str, Any]) -> None:
        workers = [Worker(self, document, ALICE) for _ in range(self.WRITERS)]
        for number, worker in enumerate(workers):
            worker.tell(f"add writer{number} {self.ADDITIONS}")
        self.assertEqual([worker.hear() for worker in workers], ["done"] * self.WRITERS)
        with tokencache.open(document) as cache:
            tokens = json.loads(cache.get(ALICE))[AccessToken].values()
        expected = {f"writer{w}.{n}" for w in range(self.WRITERS) for n in range(self.ADDITIONS)}
        kept = {token["target"] for token in tokens}
        print(f"{len(kept & expected)} of {len(expected)} tokens of {self.WRITERS} writers are in the blob")
        self.assertEqual(kept, expected)

    def test_none_of_eight_writers_updates_is_lost_on_sqlite(self) -> None:
        self.all_are_kept(shared(self.database, resilience=PATIENT))

    def test_none_of_eight_writers_updates_is_lost_on_redis(self) -> None:
        redis_server.require()
        server = redis_server.Server(self.database.parent / "redis")
        self.addCleanup(server.kill)
        l2 = {"kind": "redis", "url": server.url, "key_prefix": "farm:"}
        self.all_are_kept({**shared(self.database, resilience=PATIENT), "l2": l2})

    def test_threads_that_share_one_lose_nothing_either(self) -> None:
        token_cache = self.token_cache(resilience=PATIENT)

        def work(name: int) -> None:
            for number in range(20):
                token_cache.add(answer(f"thread{name}.{number}"))
                list(token_cache.search(AccessToken, target=[f"thread{name}.{number}"]))

        threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.targets(), {f"thread{w}.{n}" for w in range(8) for n in range(20)})

    def test_an_answer_of_the_provider_is_one_write(self) -> None:
        token_cache = self.token_cache()
        self.signed_in(token_cache)
        stats = token_cache._cached.stats()["l2"]
        self.assertEqual(stats["latency"]["set"]["count"], 1, stats)

    def test_a_change_of_another_between_look_and_change_is_kept(self) -> None:
        here, there = self.token_cache(), self.token_cache()
        here.add(answer("one"))
        list(there.search(AccessToken))
        here.add(answer("two"))
        there.add(answer("three"))
        self.assertEqual(self.targets(), {"one", "two", "three"})
        self.assertEqual({token["target"] for token in here.search(AccessToken)}, {"one", "two", "three"})

    def test_a_removal_of_what_has_been_renewed_meanwhile_takes_nothing(self) -> None:
        here, there = self.token_cache(), self.token_cache()
        here.add(answer("one"))
        (old,) = there.search(AccessToken)
        here.modify(AccessToken, old, {"secret": "renewed"})
        there.remove_at(old)
        self.assertEqual([token["secret"] for token in there.search(AccessToken)], ["renewed"])
        there.remove_at(next(there.search(AccessToken)))
        self.assertEqual(list(here.search(AccessToken)), [])


class Blobs(Msal):
    def test_what_others_of_the_family_put_there_stays(self) -> None:
        of_nobody = {
            "AccessToken": {},
            "Account": {"a": {"home_account_id": ALICE, "environment": "login.example", "wam_account_ids": {"x": "y"}}},
            "Newer": {"kept": [1, None, "ü"]},
            "version": "7",
        }
        fixtures = Path(__file__).parents[3] / "tests" / "fixtures" / "msal"
        of_dotnet = [json.loads((fixtures / name).read_text()) for name in ("user.json", "obo-long-running.json")]
        for foreign in [of_nobody, *of_dotnet]:
            with tokencache.open(shared(self.database)) as cache:
                cache.set(ALICE, json.dumps(foreign).encode())
            self.token_cache().add(answer("one"))
            blob = self.blob()
            for name, section in foreign.items():
                for key, item in section.items() if isinstance(section, dict) else ():
                    if name != AccessToken:
                        self.assertEqual(blob[name][key], item)
            self.assertEqual(set(foreign) - set(blob), set())

    def test_the_newer_of_two_tokens_for_one_scope_takes_the_others_place(self) -> None:
        """MSAL.NET refuses a blob with both."""
        token_cache = self.token_cache()
        for scopes in ("read write openid", "other openid", "write openid"):
            token_cache.add(answer(scopes))
        self.assertEqual(self.targets(), {"openid other", "openid write"})

    def test_a_token_takes_no_place_of_one_for_another_assertion(self) -> None:
        """MSAL.NET keeps one for each that it was asked on behalf of."""
        token_cache = self.token_cache()
        token_cache.add(answer("one", "mine"))
        (token,) = self.blob()[AccessToken].values()
        others = {f"of {name}": {**token, "secret": name, "user_assertion_hash": name} for name in ("a", "b")}
        token_cache.merge(json.dumps({AccessToken: others}))
        token_cache.add(answer("one", "newer"))
        self.assertEqual({token["secret"] for token in token_cache.search(AccessToken)}, {"newer", "a", "b"})

    def test_expired_tokens_are_left_behind_by_the_next_write_and_cost_none(self) -> None:
        token_cache = self.token_cache()
        token_cache.add(answer("old"), now=int(time.time()) - 7200)
        self.assertEqual(self.targets(), set())
        with tokencache.open(shared(self.database)) as cache:
            ended = {"target": "old", "expires_on": "1000", "secret": "s", "credential_type": AccessToken}
            version = cache.set(ALICE, json.dumps({AccessToken: {"key": ended}}).encode(), ttl=60)
            self.assertEqual(list(token_cache.search(AccessToken)), [])
            self.assertEqual(cache.get_entry(ALICE).version, version)
        token_cache.add(answer("new"))
        self.assertEqual(self.targets(), {"new"})

    def test_what_is_no_blob_is_refused_without_being_repeated(self) -> None:
        token_cache = self.token_cache()
        for wrong in (b"secret", b'["secret"]', b"\xff\xfe"):
            token_cache._cached.set(ALICE, wrong)
            for use in (lambda: list(token_cache.search(AccessToken)), lambda: token_cache.add(answer("one"))):
                with self.assertRaisesRegex(ValueError, "This is no token cache of MSAL") as raised:
                    use()
                self.assertNotIn("secret", repr(vars(raised.exception)) + str(raised.exception))
            self.assertEqual(token_cache._cached.get(ALICE), wrong)

    def test_another_blob_is_merged_in_one_change(self) -> None:
        here, elsewhere = self.token_cache(), msal.SerializableTokenCache()
        here.add(answer("here"))
        elsewhere.add(answer("elsewhere"))
        elsewhere.add(answer("too"))
        here.merge(elsewhere.serialize())
        self.assertEqual(self.targets(), {"here", "elsewhere", "too"})
        with self.assertRaises(ValueError):
            here.merge("secret")

    def test_a_lifetime_can_be_given(self) -> None:
        cache = self.open_shared()
        tokencache.msal.TokenCache(cache, ALICE, ttl=100).add(answer("one"))
        left = cache.get_entry(ALICE).expires_at.timestamp() - time.time()
        self.assertTrue(0 < left <= 100, left)

    def test_it_is_not_pickled_and_says_why(self) -> None:
        with self.assertRaisesRegex(TypeError, "make one for the same key"):
            pickle.dumps(self.token_cache())


class Outage(Msal):
    def test_what_l2_does_not_take_is_owed_and_arrives(self) -> None:
        token_cache = self.token_cache(resilience={"deadline_ms": 300, "probe_ms": 100})
        app = self.signed_in(token_cache)
        with self.writes_failing():
            token = app.acquire_token_silent(["orders.write"], app.get_accounts()[0])
            self.assertEqual(token["token_source"], "identity_provider")
            self.assertEqual(app.acquire_token_silent(["orders.write"], app.get_accounts()[0])["token_source"], "cache")
            self.assertFalse(token_cache._cached.flush(0))
        self.assertTrue(token_cache._cached.flush(60))
        self.assertEqual(self.targets(), {"orders.read", "orders.write"})

    def test_what_two_servers_owe_is_merged_when_l2_is_back(self) -> None:
        quick = {"deadline_ms": 300, "probe_ms": 100}
        servers = [self.token_cache(resilience=quick) for _ in range(2)]
        servers[0].add(answer("before"))
        for server in servers:
            self.assertEqual(len(list(server.search(AccessToken))), 1)
        with self.writes_failing():
            for number, server in enumerate(servers):
                server.add(answer(f"server{number}"))
                server.add(answer(f"server{number}.too"))
                server.remove_at(next(server.search(AccessToken, target=[f"server{number}"])))
        for server in servers:
            self.assertTrue(server._cached.flush(60))
        self.assertEqual(self.targets(), {"before", "server0.too", "server1.too"})

    def test_where_nobody_can_be_asked_a_user_is_not_signed_out_and_an_app_goes_on(self) -> None:
        redis_server.require()
        server = redis_server.Server(self.database.parent / "redis")
        self.addCleanup(server.kill)
        l2 = {"kind": "redis", "url": server.url}
        impatient = {"deadline_ms": 500, "close_ms": 0, "circuit_failures": 1}
        document = {**shared(self.database, resilience=impatient), "l2": l2}
        cache = self.open(document)
        known = tokencache.msal.TokenCache(cache, "known")
        known.add(answer("before"))
        self.assertEqual(len(list(known.search(AccessToken))), 1)
        server.kill()
        known.add(answer("meanwhile"))  # Of this one L2 was asked in vain,
        known.add(answer("later"))  # and of this one not at all.
        self.assertEqual(len(list(known.search(AccessToken))), 3)
        user = self.app(tokencache.msal.TokenCache(cache, ALICE))
        with self.assertRaises(tokencache.L2Error):
            user.get_accounts()
        app = self.app(tokencache.msal.TokenCache(cache, tokencache.msal.app_key(CLIENT, TENANT)))
        with self.assertLogs("tokencache.msal", logging.WARNING):
            first = app.acquire_token_for_client(["api/.default"])
        self.assertEqual(first["token_source"], "identity_provider")
        self.assertEqual(app.acquire_token_for_client(["api/.default"])["token_source"], "cache")
        # A sign-in brings its tokens along.
        self.signed_in(tokencache.msal.TokenCache(cache, ALICE))
        self.assertEqual(len(user.get_accounts()), 1)
        server.restart()
        self.assertTrue(cache.flush(60))
        other = self.open(document)
        self.assertEqual(len(self.app(tokencache.msal.TokenCache(other, ALICE)).get_accounts()), 1)
        self.assertEqual(len(list(tokencache.msal.TokenCache(other, "known").search(AccessToken))), 3)


class Imports(unittest.TestCase):
    def check(self, program: str) -> str:
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def test_the_core_does_not_import_msal(self) -> None:
        self.assertEqual(self.check("import sys, tokencache; print('msal' in sys.modules)"), "False")

    def test_without_msal_one_sentence_says_so(self) -> None:
        without = "import sys; sys.modules['{0}'] = None\ntry: import tokencache.{0}\nexcept ImportError as e: print(e)"
        for name, package in (("msal", "msal"), ("msal_extensions", "msal-extensions")):
            said = self.check(without.format(name))
            self.assertRegex(said, rf"^tokencache\.{name} needs .*: pip install {package}\.$")


if __name__ == "__main__":
    unittest.main()
