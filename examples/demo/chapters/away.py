"""L2 is taken away for real."""

from __future__ import annotations

import time

import stage
import tokencache

DEADLINE_MS, DELAY_MS = 400, 150
#: What a busy machine may add before our thread runs again.
SLACK_MS = 200
#: How long we wait for what has to come.
PATIENCE = 20.0
RENEWED = b"renewed"


def run(tour) -> None:
    place = tour.place("away")
    # Without the circuit, which would keep later calls from an L2 that failed so often.
    with tokencache.open(place.document(deadline_ms=DEADLINE_MS, max_attempts=10, circuit_failures=0)) as cache:
        for name in ("alice", "bob", "carol", "dan"):
            cache.set(name, f"{name}'s tokens".encode(), ttl=3600)
        cache.clear()
        alice, carol = (stage.found(cache.get_entry(name), name) for name in ("alice", "carol"))
        stage.say(f"Alice and Carol are in L1, Bob is only in L2. {place.outage}")

        place.take_away()
        _read_alice(cache, alice)
        _read_bob(cache)
        _write_carol(cache, carol)
        _owe_dan_and_erin(cache)
        place.bring_back()

        stage.line()
        stage.say(place.recovery)
        bob, took = stage.timed(lambda: _find(cache, "bob"))
        stage.row("Bob is found", stage.duration(took), "after that")
        stage.holds("Nothing had to be reopened.", bob == b"bob's tokens")
        kept = cache.get("carol")
        if place.tells_what_was_done:
            stage.holds("Carol has her old tokens, as the write said.", kept == carol.data)
        else:
            stage.holds("Carol has old or renewed tokens: no answer in time cannot say which.", kept in (carol.data, RENEWED))
        _dan_and_erin_arrive(cache, place)
        tour.keep(cache.stats())


def _owe_dan_and_erin(cache) -> None:
    stage.line()
    stage.say("Dan signs out and Erin signs in. L2 takes neither, and we give up; so both are kept and owed to it.")
    cache.on_retry(lambda failure: tokencache.GIVE_UP)
    _, took = stage.timed(lambda: cache.remove("dan"))
    stage.row("remove Dan", stage.duration(took), "TC_DEGRADED")
    _, took = stage.timed(lambda: cache.set("erin", b"erin's tokens", ttl=3600))
    stage.row("write Erin", stage.duration(took), "TC_DEGRADED")
    cache.on_retry(None)
    stage.holds("Dan is signed out here, whatever L2 has.", cache.get("dan") is None)
    erin = stage.found(cache.get_entry("erin"), "Erin's")
    stage.holds("Erin is signed in here.", erin.data == b"erin's tokens" and erin.degraded)
    stage.holds("Two writes are owed.", cache.stats()["journal"]["owed_entries"] == 2 and not cache.flush(0))


def _dan_and_erin_arrive(cache, place) -> None:
    is_flushed, took = stage.timed(lambda: cache.flush(PATIENCE))
    stage.row("all is in L2", stage.duration(took), "after that")
    with tokencache.open(place.document()) as another:
        arrived = is_flushed and another.get("erin") == b"erin's tokens" and another.get("dan") is None
    stage.holds("Another cache finds Erin, and no Dan: the sign-out sticks.", arrived)


def _read_alice(cache, alice) -> None:
    entry, took = stage.timed(lambda: stage.found(cache.get_entry("alice"), "Alice's"))
    note = f"tier {entry.tier.name}" + (", unverified since L2 is gone" if entry.degraded else "")
    stage.row("read Alice", stage.duration(took), note)
    stage.holds("She is still served.", entry.data == alice.data and entry.tier == tokencache.Tier.L1)


def _read_bob(cache) -> None:
    asked = []

    def on_retry(failure):
        asked.append(failure)
        label, left = f"  attempt {failure.attempt}: {failure.status.name}", failure.remaining * 1000
        stage.row(label, f"{left:.0f} ms left", f"we answer: try again in {DELAY_MS} ms")
        return tokencache.Retry(DELAY_MS / 1000)

    stage.line()
    stage.say(f"Bob can only come from L2. Our callback would try for ever; the deadline is {DEADLINE_MS} ms.")
    cache.on_retry(on_retry)
    error, took = stage.timed(lambda: _failure_of(lambda: cache.get("bob")))
    stage.row("read Bob", stage.duration(took), f"raises {type(error).__name__}:")
    stage.quote(str(error))
    stage.holds("The callback was asked about every attempt.", len(asked) > 1)
    stage.holds("The call ended in time.", took * 1000 <= DEADLINE_MS + SLACK_MS)
    honest = isinstance(error, (tokencache.L2Unreachable, tokencache.L2Timeout))
    stage.holds('It did not say "not found": nobody knows, and Bob need not sign in again.', honest)


def _write_carol(cache, carol) -> None:
    stage.line()
    stage.say("Carol's renewed tokens are to replace those that were read. This time we give up.")
    cache.on_retry(lambda failure: tokencache.GIVE_UP)

    def write():
        cache.set("carol", RENEWED, ttl=3600, expected_version=carol.version)

    error, took = stage.timed(lambda: _failure_of(write))
    cache.on_retry(None)
    stage.row("write Carol", stage.duration(took), f"raises {type(error).__name__}")
    stage.holds("The write says that it was not taken.", isinstance(error, tokencache.L2Error))


def _find(cache, name: str) -> bytes:
    """What is there of them, asked for until L2 answers."""
    until = time.monotonic() + PATIENCE
    cache.on_retry(lambda failure: tokencache.Retry(DELAY_MS / 1000))
    while True:
        try:
            return cache.get(name)
        except tokencache.L2Error:
            if time.monotonic() > until:
                raise


def _failure_of(call):
    try:
        call()
    except tokencache.TokencacheError as error:
        return error
    return None
