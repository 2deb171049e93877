"""A command is decided once, in order, and answered after its events are in the journal."""

from __future__ import annotations

import asyncio

import pytest

from actors.address import Address
from actors.core.context import Limits
from actors.errors import (
    DeadlineExceededError,
    NotOwnedError,
    OverloadedError,
    StoppingError,
)
from tests.support.runtimes import Cluster, Instance, pass_time, same_shard, until

ANN = Address("counter", "ann")


async def test_a_reply_comes_after_its_events_are_in_the_journal(
    cluster: Cluster, one: Instance
) -> None:
    one.journal.pause()
    answer = one.ask(ANN, ("add", 5))
    await pass_time(1.0)
    assert not answer.done()
    one.journal.resume()
    assert (await answer).reply == 5
    assert [row.type for row in cluster.store.events(ANN)] == ["added"]


async def test_later_commands_see_a_state_before_its_commit(
    one: Instance,
) -> None:
    await one.reply(ANN, "get")
    one.journal.pause()
    answers = [one.ask(ANN, ("add", 1)) for _ in range(5)]
    await until(lambda: len(one.counter.decided) == 6)
    assert not any(answer.done() for answer in answers)
    one.journal.resume()
    assert [(await answer).reply for answer in answers] == [1, 2, 3, 4, 5]


async def test_a_reply_without_events_waits_for_what_it_saw(one: Instance) -> None:
    await one.reply(ANN, "get")
    one.journal.pause()
    added, seen = one.ask(ANN, ("add", 3)), one.ask(ANN, "get")
    await until(lambda: one.counter.decided[-1] == (ANN, "get"))
    await pass_time(1.0)
    assert not seen.done()
    one.journal.resume()
    assert ((await added).reply, (await seen).reply) == (3, 3)


async def test_a_reply_without_events_leaves_when_all_is_committed(
    one: Instance,
) -> None:
    await one.reply(ANN, ("add", 1))
    one.journal.pause()
    assert await one.reply(ANN, "get") == 1


async def test_an_entity_that_many_ask_is_served_as_quickly_as_many_entities(
    cluster: Cluster,
) -> None:
    """Given an entity that everybody asks, as a queue is, when 30 commands wait for it alone, then
    its shard has the same time for them as for commands to 30 entities, however busy the rest of
    the process: not one turn of the event loop for each."""
    one = await cluster.start(limits=Limits(turns_max=10))
    await one.reply(ANN, "get")
    one.counter.decided.clear()
    answers, rounds = [one.ask(ANN, ("add", 1)) for _ in range(30)], 0
    while len(one.counter.decided) < 30:
        rounds += 1
        await asyncio.sleep(0)
    assert rounds <= 30 // 10 + 3
    assert [(await answer).reply for answer in answers] == list(range(1, 31))


async def test_commands_during_an_append_share_the_next_batch(
    one: Instance,
) -> None:
    addresses = [Address("counter", f"user-{number}") for number in range(300)]
    await one.runtime.load_state(addresses)
    before = one.journal.appends
    await asyncio.gather(*[one.ask(address, ("add", 1)) for address in addresses])
    assert one.journal.appends - before <= 3


async def test_a_batch_holds_at_most_so_many_rows(cluster: Cluster) -> None:
    one = await cluster.start(limits=Limits(batch_rows_max=10))
    await one.runtime.load_state([ANN])
    one.journal.pause()
    answers = [one.ask(ANN, ("add", 1)) for _ in range(35)]
    await until(lambda: len(one.counter.decided) == 35)
    one.journal.resume()
    await asyncio.gather(*answers)
    assert one.journal.appends in (4, 5)


async def test_the_seq_of_a_shard_is_gapless_over_its_entities(
    cluster: Cluster, one: Instance
) -> None:
    addresses = same_shard("counter", 3)
    await asyncio.gather(*[one.ask(a, ("add", n)) for n in range(20) for a in addresses])
    rows = cluster.store.rows[addresses[0].slot]
    assert [row.seq for row in rows] == list(range(1, 61))


async def test_a_storm_at_a_cold_entity_fits_and_every_command_counts(one: Instance) -> None:
    answers = await asyncio.gather(*[one.ask(ANN, ("add", 1)) for _ in range(500)])
    assert [answer.reply for answer in answers] == list(range(1, 501))
    assert one.journal.loads == 1


async def test_a_full_mailbox_refuses_with_a_retry_after(
    cluster: Cluster,
) -> None:
    one = await cluster.start(limits=Limits(mailbox_max=3))
    answers = [one.ask(ANN, ("add", 1)) for _ in range(4)]
    with pytest.raises(OverloadedError) as refusal:
        await answers[3]
    assert 0.1 <= refusal.value.retry_after_s <= 10.0
    assert [(await answer).reply for answer in answers[:3]] == [1, 2, 3]
    assert one.runtime.health.statistics().refused == 1


async def test_a_full_instance_refuses_the_next_command_of_any_entity(cluster: Cluster) -> None:
    one = await cluster.start(limits=Limits(mailboxes_max=3))
    addresses = [Address("counter", f"user-{number}") for number in range(4)]
    answers = [one.ask(address, ("add", 1)) for address in addresses]
    with pytest.raises(OverloadedError):
        await answers[3]
    await asyncio.gather(*answers[:3])
    assert await one.reply(addresses[3], ("add", 1)) == 1


async def test_a_command_past_its_deadline_is_refused_and_never_decided(one: Instance) -> None:
    one.journal.pause()
    answer = one.ask(ANN, ("add", 1), timeout_s=0.3)
    began = one.clock.monotonic()
    with pytest.raises(DeadlineExceededError):
        await answer
    assert 0.3 <= one.clock.monotonic() - began <= 0.4
    one.journal.resume()
    assert await one.reply(ANN, "get") == 0
    assert one.runtime.health.statistics().mailbox_depth == 0


async def test_a_caller_whose_commit_hangs_is_answered_by_the_deadline(one: Instance) -> None:
    await one.reply(ANN, "get")
    one.journal.pause()
    began = one.clock.monotonic()
    with pytest.raises(DeadlineExceededError):
        await one.ask(ANN, ("add", 1))
    assert one.clock.monotonic() - began <= 5.1
    one.journal.resume()
    assert await one.reply(ANN, "get") == 1


async def test_a_command_whose_caller_has_gone_is_not_decided(one: Instance) -> None:
    answer = one.ask(ANN, ("add", 1))
    answer.cancel()
    assert await one.reply(ANN, "get") == 0


async def test_one_busy_entity_does_not_keep_its_neighbours_waiting(one: Instance) -> None:
    busy, quiet = same_shard("counter", 2)
    await one.runtime.load_state([busy, quiet])
    answers = [one.ask(busy, ("add", 1)) for _ in range(500)]
    answers.append(one.ask(quiet, ("add", 1)))
    await asyncio.gather(*answers)
    assert [address for address, _ in one.counter.decided].index(quiet) < 5


async def test_a_shard_that_is_not_ours_is_refused(cluster: Cluster) -> None:
    one = await cluster.start(shards=[number for number in range(256) if number != ANN.slot])
    with pytest.raises(NotOwnedError):
        await one.ask(ANN, "get")


async def test_an_unknown_kind_is_a_mistake_of_the_caller(one: Instance) -> None:
    with pytest.raises(KeyError):
        one.ask(Address("unheard", "of"), "get")


async def test_stopping_answers_what_is_queued_and_refuses_what_comes(
    cluster: Cluster, one: Instance
) -> None:
    answers = [one.ask(ANN, ("add", 1)) for _ in range(50)]
    stopping = asyncio.ensure_future(cluster.stop(one))
    await asyncio.sleep(0)
    with pytest.raises(StoppingError):
        await one.ask(ANN, ("add", 1))
    assert [(await answer).reply for answer in answers] == list(range(1, 51))
    await stopping
    assert len(cluster.store.events(ANN)) == 50


async def test_stopping_ends_in_time_while_the_journal_hangs(
    cluster: Cluster, one: Instance
) -> None:
    await one.reply(ANN, "get")
    other = Address("counter", "ben")
    one.journal.pause()
    answers = [one.ask(ANN, ("add", 1)), one.ask(ANN, "get"), one.ask(other, "get")]
    began = one.clock.monotonic()
    await one.runtime.stop(timeout_s=2.0)
    assert one.clock.monotonic() - began < 2.1
    results = await asyncio.gather(*answers, return_exceptions=True)
    assert [getattr(result, "reason", None) for result in results] == [
        "outcome_unknown",
        "outcome_unknown",
        "stopping",
    ]


async def test_statistics_tell_what_happened(one: Instance) -> None:
    await asyncio.gather(*[one.ask(ANN, ("add", 1)) for _ in range(10)])
    told = one.runtime.health.statistics()
    assert (told.shards, told.entities, told.rows, told.loads) == (256, 1, 10, 1)
    assert (told.mailbox_depth, told.queued_commits, told.in_flight) == (0, 0, 0)
    assert told.last_commit_age_s is not None
    assert told.epochs[ANN.slot] == 1
    assert one.runtime.health.problem() is None
