"""`async with cache.user(key) as token_cache`: MSAL in a web framework, without blocking its loop."""

from __future__ import annotations

import asyncio
import threading
import time
import unittest
from typing import Any

import tokencache
from msal_support import ALICE, PATIENT, AccessToken, Msal, answer


class User(Msal):
    def setUp(self) -> None:
        super().setUp()
        self.shared = self.open_shared(resilience=PATIENT)

    def run_async(self, coroutine: Any) -> Any:
        return asyncio.run(asyncio.wait_for(coroutine, 120))

    def test_a_block_finds_what_another_stored_and_stores_what_it_was_given(self) -> None:
        async def request(scope: str) -> Any:
            async with self.shared.user(ALICE) as token_cache:
                app = self.app(token_cache)
                account = app.get_accounts()[0]
                return await asyncio.to_thread(app.acquire_token_silent, [scope], account)

        async def scenario() -> None:
            self.assertEqual((await request("orders.read"))["token_source"], "cache")
            self.assertEqual((await request("orders.write"))["token_source"], "identity_provider")
            self.assertEqual((await request("orders.write"))["token_source"], "cache")

        self.signed_in(self.token_cache())
        self.run_async(scenario())
        self.assertEqual(self.targets(), {"orders.read", "orders.write"})

    def test_two_blocks_at_once_lose_nothing(self) -> None:
        async def block(number: int) -> None:
            async with self.shared.user(ALICE) as token_cache:
                token_cache.add(answer(f"scope{number}"))
                await asyncio.sleep(0)

        async def scenario() -> None:
            await asyncio.gather(*(block(number) for number in range(20)))

        self.run_async(scenario())
        self.assertEqual(self.targets(), {f"scope{number}" for number in range(20)})

    def test_a_block_that_changed_nothing_writes_nothing(self) -> None:
        async def scenario() -> None:
            async with self.shared.user(ALICE) as token_cache:
                self.assertEqual(list(token_cache.search(AccessToken)), [])

        self.run_async(scenario())
        self.assertIsNone(self.shared.get(ALICE))

    def test_what_the_provider_gave_is_stored_though_the_block_raised(self) -> None:
        async def scenario() -> None:
            async with self.shared.user(ALICE) as token_cache:
                token_cache.add(answer("one"))
                raise KeyError("of the application")

        with self.assertRaisesRegex(KeyError, "of the application"):
            self.run_async(scenario())
        self.assertEqual(self.targets(), {"one"})

    def test_what_the_provider_gave_is_stored_though_the_task_was_cancelled(self) -> None:
        async def scenario() -> None:
            began = asyncio.Event()

            async def block() -> None:
                async with self.shared.user(ALICE) as token_cache:
                    token_cache.add(answer("one"))
                    began.set()
                    await asyncio.sleep(60)

            task = asyncio.ensure_future(block())
            await began.wait()
            while not task.done():  # In the block, and again and again while it is being stored.
                task.cancel()
                await asyncio.sleep(0)
            with self.assertRaises(asyncio.CancelledError):
                await task
            self.assertIn(b"token for one", self.shared.peek(ALICE))

        self.run_async(scenario())
        self.assertEqual(self.targets(), {"one"})

    def test_what_the_provider_gave_is_stored_though_the_loop_ended(self) -> None:
        async def scenario() -> None:
            ended = asyncio.Event()

            async def block() -> None:
                async with self.shared.user(ALICE) as token_cache:
                    token_cache.add(answer("one"))
                    ended.set()

            blocking = asyncio.ensure_future(block())
            await ended.wait()
            self.assertFalse(blocking.done())

        asyncio.run(scenario())  # Which cancels the task, and that by which it stores, before that has begun.
        self.assertEqual(self.targets(), {"one"})

    def test_what_a_thread_is_given_when_its_block_was_cancelled_already_is_stored(self) -> None:
        asks, answers = threading.Event(), threading.Event()

        def acquire(token_cache: Any) -> None:
            """What MSAL does in a thread: asks the provider, and keeps what it gave."""
            asks.set()
            answers.wait(60)
            token_cache.add(answer("one"))

        async def block() -> None:
            async with self.shared.user(ALICE) as token_cache:
                await asyncio.to_thread(acquire, token_cache)

        async def scenario() -> None:
            task = asyncio.ensure_future(block())
            await asyncio.to_thread(asks.wait, 60)
            task.cancel()  # As a web framework does whose client has gone.
            with self.assertRaises(asyncio.CancelledError):
                await task
            answers.set()

        self.run_async(scenario())  # The end of the loop waits for its threads.
        self.assertEqual(self.targets(), {"one"})

    def test_a_thread_that_outlives_its_block_looks_into_what_was_stored_last(self) -> None:
        async def scenario() -> None:
            async with self.shared.user(ALICE) as token_cache:
                pass
            newest = token_cache._newest

            def overtaken() -> Any:
                found = newest()
                token_cache.add(answer("one"))
                return found

            token_cache._newest = overtaken
            self.assertEqual([token["target"] for token in token_cache.search("AccessToken")], ["one"])

        self.run_async(scenario())

    def test_a_block_puts_nothing_older_in_the_place_of_what_others_were_given_meanwhile(self) -> None:
        async def scenario() -> None:
            async with self.shared.user(ALICE) as token_cache:
                token_cache.add(answer("one", "before"), now=int(time.time()) - 30)
                other.add(answer("one two", "after"))

        other = self.token_cache()
        self.run_async(scenario())
        self.assertEqual([token["secret"] for token in other.search(AccessToken)], ["after"])

    def test_a_block_brings_nothing_back_that_was_removed_after_it_was_given(self) -> None:
        async def scenario() -> None:
            async with self.shared.user(ALICE) as token_cache:
                token_cache.add(answer("two"), now=int(time.time()) - 30)
                self.shared.remove(ALICE)

        self.token_cache().add(answer("one"))
        self.run_async(scenario())
        self.assertEqual(self.targets(), set())

    def test_what_l2_does_not_take_is_owed_and_merged_when_it_is_back(self) -> None:
        caches = [self.open_shared(resilience={"deadline_ms": 300}) for _ in range(2)]

        async def scenario(cache: tokencache.Cache, scope: str) -> None:
            async with cache.user(ALICE) as token_cache:
                token_cache.add(answer(scope))
            async with cache.user(ALICE) as token_cache:
                self.assertEqual(len(list(token_cache.search(AccessToken))), 2)

        tokencache.msal.TokenCache(caches[0], ALICE).add(answer("before"))
        self.assertIsNotNone(caches[1].get(ALICE))
        with self.writes_failing():
            for cache, scope in zip(caches, ("one", "two")):
                self.run_async(scenario(cache, scope))
        for cache in caches:
            self.assertTrue(cache.flush(60))
        self.assertEqual(self.targets(), {"before", "one", "two"})

    def test_a_closed_cache_is_refused(self) -> None:
        async def scenario() -> None:
            async with self.shared.user(ALICE):
                self.fail("It is closed.")

        self.shared.close()
        with self.assertRaises(tokencache.InvalidHandle):
            self.run_async(scenario())


if __name__ == "__main__":
    unittest.main()
