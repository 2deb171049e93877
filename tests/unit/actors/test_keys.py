"""A command with a key is done once, and every repeat gets the first outcome."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.address import Address
from actors.core.context import Limits
from actors.errors import (
    DeadlineExceededError,
    EntityCrashedError,
    KeyInFlightError,
    KeyReusedError,
)
from tests.support.runtimes import Cluster, Instance, key, pass_time, same_shard, until

ANN = Address("counter", "ann")
RICH, POOR = Address("bank", "rich"), Address("bank", "poor")


async def test_a_repeat_is_answered_from_memory(one: Instance) -> None:
    first = await one.ask(ANN, ("add", 5), key=key(1))
    again = await one.ask(ANN, ("add", 5), key=key(1))
    assert (first.reply, first.replayed) == (5, False)
    assert (again.reply, again.replayed) == (5, True)
    assert await one.reply(ANN, "get") == 5


async def test_a_repeat_is_answered_by_the_next_owner(cluster: Cluster, one: Instance) -> None:
    await one.ask(ANN, ("add", 5), key=key(1))
    two = await cluster.start("two-1")
    again = await two.ask(ANN, ("add", 5), key=key(1))
    assert (again.reply, again.replayed) == (5, True)


async def test_a_repeat_is_answered_from_the_journal_when_memory_forgot(cluster: Cluster) -> None:
    one = await cluster.start(limits=Limits(outcomes_max=2))
    for number in range(5):
        await one.ask(ANN, ("add", 1), key=key(number))
    before = one.journal.look_ups
    again = await one.ask(ANN, ("add", 1), key=key(0))
    assert (again.reply, again.replayed) == (1, True)
    assert one.journal.look_ups == before + 1


async def test_a_reply_without_events_is_stored_too(cluster: Cluster, one: Instance) -> None:
    assert (await one.ask(ANN, "get", key=key(1))).reply == 0
    await one.ask(ANN, ("add", 5))
    two = await cluster.start("two-1")
    assert (await two.ask(ANN, "get", key=key(1))).reply == 0


async def test_the_outcome_is_in_the_same_batch_as_the_events(
    cluster: Cluster, one: Instance
) -> None:
    before = one.journal.appends
    await one.ask(ANN, ("add", 5), key=key(1))
    assert one.journal.appends == before + 1
    assert cluster.store.events(ANN)[0].command == key(1).id
    assert cluster.store.outcomes[ANN.slot, key(1).id].reply == b"5"


async def test_another_content_under_the_same_key_is_refused(
    cluster: Cluster, one: Instance
) -> None:
    await one.ask(ANN, ("add", 5), key=key(1))
    with pytest.raises(KeyReusedError):
        await one.ask(ANN, ("add", 6), key=key(1, content=2))
    two = await cluster.start("two-1")
    with pytest.raises(KeyReusedError):
        await two.ask(ANN, ("add", 6), key=key(1, content=2))
    assert await two.reply(ANN, "get") == 5


async def test_a_repeat_while_the_first_is_under_way_is_refused(one: Instance) -> None:
    first = one.ask(ANN, ("add", 5), key=key(1))
    with pytest.raises(KeyInFlightError):
        await one.ask(ANN, ("add", 5), key=key(1))
    with pytest.raises(KeyReusedError):
        await one.ask(ANN, ("add", 6), key=key(1, content=2))
    assert (await first).reply == 5


async def test_a_key_in_a_hanging_commit_outlasts_the_deadline(
    one: Instance,
) -> None:
    one.journal.latency_s = 0.01
    answer = one.ask(ANN, ("add", 5), key=key(1))
    await until(lambda: one.counter.decided)
    one.journal.pause()
    with pytest.raises(DeadlineExceededError):
        await answer
    with pytest.raises(KeyInFlightError):
        await one.ask(ANN, ("add", 5), key=key(1))
    one.journal.resume()
    await pass_time(0.1)
    again = await one.ask(ANN, ("add", 5), key=key(1))
    assert (again.reply, again.replayed) == (5, True)


async def test_a_key_whose_command_was_never_decided_is_free_again(one: Instance) -> None:
    one.journal.pause()
    with pytest.raises(DeadlineExceededError):
        await one.ask(ANN, ("add", 5), key=key(1), timeout_s=0.1)
    one.journal.resume()
    await until(lambda: one.runtime.health.statistics().mailbox_depth == 0)
    assert (await one.ask(ANN, ("add", 5), key=key(1))).replayed is False


async def test_a_key_whose_command_crashed_is_free_again(one: Instance) -> None:
    with pytest.raises(EntityCrashedError):
        await one.ask(ANN, "crash", key=key(1))
    assert (await one.ask(ANN, ("add", 5), key=key(1))).reply == 5


async def test_keys_and_entities_are_looked_up_together(one: Instance) -> None:
    asked = [one.ask(ANN, ("add", 1), key=key(number)) for number in range(150)]
    await asyncio.gather(*asked)
    assert one.journal.look_ups <= 2
    assert one.journal.loads == 1


async def test_a_look_up_tells_the_stored_outcome(cluster: Cluster, one: Instance) -> None:
    """Also one stored by an earlier owner. It holds no key, and decides nothing."""
    assert await one.runtime.look_up(ANN, key(1)) is None
    assert await one.runtime.look_up(ANN, key(1)) is None
    await one.ask(ANN, ("add", 5), key=key(1))
    for instance in (one, await cluster.start("two-1")):
        stored = await instance.runtime.look_up(ANN, key(1))
        assert stored is not None
        assert (stored.reply, stored.replayed) == (5, True)
        with pytest.raises(KeyReusedError):
            await instance.runtime.look_up(ANN, key(1, content=2))


async def test_a_look_up_during_the_first_command_is_refused(one: Instance) -> None:
    answer = one.ask(ANN, ("add", 5), key=key(1))
    with pytest.raises(KeyInFlightError):
        await one.runtime.look_up(ANN, key(1))
    assert (await answer).reply == 5


async def test_keys_that_are_looked_up_refuse_nobody_else(one: Instance) -> None:
    """However many calls of several steps are under way on one shard."""
    busy, other = same_shard("counter", 2)
    for start in range(0, 3_000, 500):
        looked = [one.runtime.look_up(busy, key(n)) for n in range(start, start + 500)]
        assert await asyncio.gather(*looked) == [None] * 500
    assert await one.runtime.look_up(other, key(9_999)) is None
    assert await one.reply(other, ("add", 1), key=key(9_999)) == 1


async def test_a_reply_that_is_not_final_is_not_stored(cluster: Cluster, one: Instance) -> None:
    """A repeat is decided anew, at once."""
    for _ in range(2):
        answer = await one.ask(ANN, "not yet", key=key(1))
        assert (answer.reply, answer.replayed) == ("come back", False)
    assert not cluster.store.outcomes
    assert (await one.ask(ANN, ("add", 5), key=key(1))).reply == 5
    again = await one.ask(ANN, "not yet", key=key(1))
    assert (again.reply, again.replayed) == (5, True)


async def test_a_key_that_a_saga_will_settle_is_in_flight_after_a_crash(
    cluster: Cluster, one: Instance
) -> None:
    await one.ask(RICH, ("deposit", "d1", 100))
    one.journal.latency_s = 0.01
    one.ask(RICH, ("send", "t1", "poor", 40), key=key(7)).add_done_callback(_ignore)
    await until(lambda: len(cluster.store.events(RICH)) == 2)
    one.journal.pause()
    two = cluster.new("two-1")
    two.journal.latency_s = 0.2
    await two.runtime.start()
    with pytest.raises(KeyInFlightError):
        await two.ask(RICH, ("send", "t1", "poor", 40), key=key(7))
    await until(lambda: not two.runtime.health.statistics().sagas)
    again = await two.ask(RICH, ("send", "t1", "poor", 40), key=key(7))
    assert (again.reply, again.replayed) == (["sent", "t1"], True)
    assert await two.reply(POOR, "get") == 40


def _ignore(answer: asyncio.Future[object]) -> None:
    answer.exception()


# -- keys that are prepared ------------------------------------------------------------------------


async def test_a_key_that_is_prepared_is_not_looked_up_again(one: Instance) -> None:
    """Nor is the entity loaded again: both were read while nobody waited."""
    one.runtime.prepare(ANN, key(1))
    await until(lambda: one.journal.look_ups and one.journal.loads)
    await pass_time(0.1)
    before = one.journal.look_ups, one.journal.loads
    assert (await one.ask(ANN, ("add", 5), key=key(1))).reply == 5
    assert (one.journal.look_ups, one.journal.loads) == before


async def test_a_prepared_key_that_has_an_outcome_gets_it(cluster: Cluster, one: Instance) -> None:
    await one.ask(ANN, ("add", 5), key=key(1))
    two = await cluster.start("two-1")
    two.runtime.prepare(ANN, key(1))
    await pass_time(0.1)
    again = await two.ask(ANN, ("add", 5), key=key(1))
    assert (again.reply, again.replayed) == (5, True)


async def test_what_the_journal_said_before_a_key_was_used_counts_no_more(
    cluster: Cluster,
) -> None:
    """
    Given a key that the journal is asked for in advance
    When it is used, stored and forgotten in memory before the journal's late answer: none
    Then a repeat is not decided again.
    """
    one = await cluster.start(limits=Limits(outcomes_max=1))
    await one.ask(ANN, "get")
    outcomes, late = one.journal.outcomes, asyncio.Event()

    async def slow(commands: Any) -> Any:
        found = await outcomes(commands)
        await late.wait()
        return found

    one.journal.outcomes = slow  # type: ignore[method-assign]
    one.runtime.prepare(ANN, key(1))
    await pass_time(0.1)
    one.journal.outcomes = outcomes  # type: ignore[method-assign]
    for number in (1, 2):
        await one.ask(ANN, ("add", 5), key=key(number))
    late.set()
    await pass_time(0.1)
    again = await one.ask(ANN, ("add", 5), key=key(1))
    assert (again.reply, again.replayed) == (5, True)
    assert await one.reply(ANN, "get") == 10
