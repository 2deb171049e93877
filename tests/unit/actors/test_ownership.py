"""Who owns a shard is what the journal says, and nothing acknowledged is ever lost."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest

from actors.address import SLOT_COUNT, Address
from actors.core.context import Limits
from actors.errors import (
    DeadlineExceededError,
    EntityCrashedError,
    JournalUnavailableError,
    NotOwnedError,
    OutcomeUnknownError,
    UnavailableError,
)
from actors.journal.contract import Batch, JournalError
from tests.support.runtimes import Cluster, Instance, key, pass_time, same_shard, until
from tests.support.virtual_time import START_MS

ANN = Address("counter", "ann")
LOOK_S = Limits().lease_check_s + 0.2


async def test_a_start_claims_every_shard_with_a_higher_epoch(cluster: Cluster) -> None:
    one = await cluster.start("one-1")
    two = await cluster.start("two-1")
    assert set(one.runtime.health.statistics().epochs.values()) == {1}
    assert set(two.runtime.health.statistics().epochs.values()) == {2}
    assert {info.incarnation for info in cluster.store.leases} == {"two-1"}


async def test_a_start_without_a_journal_fails(cluster: Cluster) -> None:
    one = cluster.new()
    one.journal.go_away()
    with pytest.raises(JournalError):
        await one.runtime.start()
    assert one.runtime.health.problem() == "not started"


async def test_an_owner_that_was_replaced_is_fenced_and_writes_nothing(
    cluster: Cluster, one: Instance
) -> None:
    await one.ask(ANN, ("add", 1))
    two = await cluster.start("two-1")
    with pytest.raises(NotOwnedError):
        await one.ask(ANN, ("add", 1))
    assert await two.reply(ANN, "get") == 1
    await until(lambda: ANN.slot in one.runtime.shards.lost)
    assert ANN.slot in one.views.lost_shards
    assert one.runtime.health.problem() is None, "to own less is no failure"


async def test_an_owner_that_loads_what_another_has_written_is_none(
    cluster: Cluster, one: Instance
) -> None:
    """Given an owner that was replaced and has not heard of it, when it loads an entity to which
    the new owner has written, then it says that it does not own the shard: what it keeps in memory
    of others and what the journal has of this one need not fit together."""
    known, unknown = same_shard("counter", 2)
    await one.ask(known, ("add", 1))
    two = await cluster.start("two-1")
    await two.ask(unknown, ("add", 1))
    with pytest.raises(NotOwnedError):
        await one.ask(unknown, "get")
    await until(lambda: unknown.slot in one.runtime.shards.lost)
    assert one.runtime.health.statistics().crashes == 0


def answer_late(one: Instance) -> asyncio.Event:
    """Every append is written, and answered when this is set."""
    append, late = one.journal.append, asyncio.Event()

    async def slow(lane: int, batch: Batch) -> Collection[int]:
        fenced = await append(lane, batch)
        await late.wait()
        return fenced

    one.journal.append = slow  # type: ignore[method-assign]
    return late


async def test_a_late_commit_of_a_lost_shard_is_not_told(cluster: Cluster, one: Instance) -> None:
    """
    Given a commit that the journal has, and whose answer is late
    When another instance claims the shard and decides on, and the old owner learns of it
    Then the late answer reaches the caller, and no view: views may know newer states by then.
    """
    await one.ask(ANN, ("add", 1))
    late = answer_late(one)
    added = one.ask(ANN, ("add", 10), timeout_s=60.0)
    await until(lambda: len(cluster.store.events(ANN)) == 2)
    two = await cluster.start("two-1")
    assert await two.reply(ANN, ("add", 100)) == 111
    await until(lambda: ANN.slot in one.views.lost_shards)
    late.set()
    assert (await added).reply == 11
    assert one.views.events(ANN) == [("added", 1)]


async def test_a_late_commit_of_a_shard_that_rests_is_not_told_once_it_is_lost(
    cluster: Cluster,
) -> None:
    """As above, with a shard that was closed for a crash loop while its append hung."""
    one = await cluster.start(limits=Limits(crashes_max=0))
    mine, other = same_shard("counter", 2)
    await one.runtime.load_state([mine, other])
    late = answer_late(one)
    added = one.ask(mine, ("add", 10), timeout_s=60.0)
    await until(lambda: len(cluster.store.events(mine)) == 1)
    with pytest.raises(EntityCrashedError):
        await one.ask(other, "crash")
    two = await cluster.start("two-1")
    assert await two.reply(mine, ("add", 100)) == 110
    await pass_time(LOOK_S)
    late.set()
    assert (await added).reply == 10
    assert one.views.events(mine) == []
    await until(lambda: mine.slot in one.views.lost_shards)


async def test_one_fenced_shard_makes_the_owner_look_at_all_others(
    cluster: Cluster, one: Instance
) -> None:
    """A shard that appends nothing would answer from its past for ever."""
    ben = Address("counter", "ben")
    await one.ask(ANN, ("add", 1))
    await one.ask(ben, ("add", 1))
    two = await cluster.start("two-1")
    await two.reply(ben, ("add", 1))
    with pytest.raises(NotOwnedError):
        await one.ask(ANN, ("add", 1))
    await pass_time(0.1)
    with pytest.raises(NotOwnedError):
        await one.reply(ben, "get")


async def test_an_owner_that_writes_nothing_learns_it_was_replaced(
    cluster: Cluster, one: Instance
) -> None:
    await one.ask(ANN, ("add", 1))
    await cluster.start("two-1")
    await pass_time(Limits().lease_check_s + 0.1)
    with pytest.raises(NotOwnedError):
        await one.reply(ANN, "get")
    assert one.runtime.shards.lost == frozenset(range(SLOT_COUNT))


async def test_a_fence_takes_only_the_shards_that_were_claimed(
    cluster: Cluster, one: Instance
) -> None:
    ben = Address("counter", "ben")
    await cluster.start("two-1", shards=[ANN.slot])
    results = await asyncio.gather(
        one.ask(ANN, ("add", 1)), one.ask(ben, ("add", 1)), return_exceptions=True
    )
    assert isinstance(results[0], NotOwnedError)
    assert getattr(results[1], "reply", None) == 1


async def test_a_stopped_owner_that_resumes_after_a_takeover_is_fenced(
    cluster: Cluster, one: Instance
) -> None:
    await one.ask(ANN, ("add", 1))
    one.journal.pause()
    stale = one.ask(ANN, ("add", 10), timeout_s=60.0)
    await pass_time(1.0)
    two = await cluster.start("two-1")
    assert await two.reply(ANN, ("add", 1)) == 2
    one.journal.resume()
    with pytest.raises(NotOwnedError):
        await stale
    assert await two.reply(ANN, "get") == 2


async def test_everybody_who_waits_at_a_fenced_shard_is_told(
    cluster: Cluster, one: Instance
) -> None:
    await one.reply(ANN, "get")
    one.journal.latency_s = 0.1
    await cluster.start("two-1")
    answers = [one.ask(ANN, c) for c in (("add", 1), "get", ("add", 1))]
    await pass_time(0.05)
    answers += [one.ask(ANN, ("add", 1), key=key(1)), one.ask(ANN, "get")]
    results = await asyncio.gather(*answers, return_exceptions=True)
    assert [type(result) for result in results] == [NotOwnedError] * 5


@pytest.mark.parametrize("fault", ["fail_next", "unknown_after_write", "late_write"])
async def test_after_an_unknown_commit_the_key_tells_its_outcome(
    cluster: Cluster, one: Instance, fault: str
) -> None:
    await one.ask(ANN, ("add", 1))
    getattr(one.journal, fault)()
    with pytest.raises(OutcomeUnknownError):
        await one.ask(ANN, ("add", 10), key=key(1))
    await until(lambda: one.runtime.health.problem() is None)
    again = await one.ask(ANN, ("add", 10), key=key(1))
    assert again.reply == 11
    assert again.replayed is (fault == "unknown_after_write")
    await pass_time(1.0)
    assert await one.reply(ANN, "get") == 11
    assert one.runtime.health.statistics().epochs[ANN.slot] == 2
    assert len(cluster.store.events(ANN)) == 2


async def test_events_in_doubt_reach_the_views_exactly_once(one: Instance) -> None:
    first, second = same_shard("counter", 2)
    await one.ask(first, ("add", 1))
    await one.reply(second, "get")
    one.journal.unknown_after_write()
    answers = [one.ask(first, ("add", 2)), one.ask(second, ("add", 3))]
    await asyncio.gather(*answers, return_exceptions=True)
    await until(lambda: one.runtime.health.problem() is None)
    await one.ask(first, ("add", 4))
    assert one.views.events(first) == [("added", 1), ("added", 2), ("added", 4)]
    assert one.views.events(second) == [("added", 3)]
    assert one.views.told[-1] == (first, (("added", 4),), 7)


async def test_events_that_turned_out_unwritten_never_reach_the_views(one: Instance) -> None:
    one.journal.fail_next()
    with pytest.raises(OutcomeUnknownError):
        await one.ask(ANN, ("add", 1))
    await until(lambda: one.runtime.health.problem() is None)
    await one.ask(ANN, ("add", 2))
    assert one.views.events(ANN) == [("added", 2)]


async def test_commits_not_sent_before_an_outage_were_not_done(
    cluster: Cluster, one: Instance
) -> None:
    await one.reply(ANN, "get")
    one.journal.latency_s = 0.1
    sent = one.ask(ANN, ("add", 1))
    await pass_time(0.05)
    unsent = one.ask(ANN, ("add", 1))
    one.journal.go_away()
    results = await asyncio.gather(sent, unsent, return_exceptions=True)
    assert [type(result) for result in results] == [OutcomeUnknownError, JournalUnavailableError]
    assert cluster.store.events(ANN) == []


async def test_while_the_journal_is_away_callers_are_refused_at_once(one: Instance) -> None:
    await one.reply(ANN, "get")
    one.journal.go_away()
    with pytest.raises(OutcomeUnknownError):
        await one.ask(ANN, ("add", 1))
    assert str(one.runtime.health.problem()).startswith("the journal is out of reach: ")
    began = one.clock.monotonic()
    for address in (ANN, Address("counter", "ben")):
        with pytest.raises(JournalUnavailableError) as refusal:
            await one.ask(address, "get")
        assert refusal.value.retry_after_s == 1.0
    assert one.clock.monotonic() == began


async def test_serving_goes_on_by_itself_when_the_journal_is_back(
    cluster: Cluster, one: Instance
) -> None:
    await one.ask(ANN, ("add", 1))
    one.journal.go_away()
    with pytest.raises(OutcomeUnknownError):
        await one.ask(ANN, ("add", 1))
    await pass_time(600.0)
    one.journal.come_back()
    await until(lambda: one.runtime.health.problem() is None, wait_max_s=2.1)
    assert await one.reply(ANN, ("add", 1)) == 2
    assert one.views.lost_shards == []


async def test_a_load_in_an_outage_refuses_and_serves_later(
    one: Instance,
) -> None:
    one.journal.go_away()
    answers = [one.ask(ANN, "get"), one.ask(ANN, "get", key=key(1))]
    results = await asyncio.gather(*answers, return_exceptions=True)
    assert [type(result) for result in results] == [JournalUnavailableError] * 2
    one.journal.come_back()
    await until(lambda: one.runtime.health.problem() is None)
    assert (await one.ask(ANN, "get", key=key(1))).reply == 0
    assert one.runtime.health.statistics().epochs[ANN.slot] == 1


async def test_timers_due_in_an_outage_fire_after_it(one: Instance) -> None:
    alarm = Address("alarm", "ann")
    await one.ask(alarm, ("set", START_MS + 10_000))
    one.journal.go_away()
    with pytest.raises(OutcomeUnknownError):
        await one.ask(alarm, ("set", START_MS + 20_000))
    await pass_time(60.0)
    assert one.alarm.fired == []
    one.journal.come_back()
    await until(lambda: one.alarm.fired)
    await until(lambda: one.views.events(alarm)[-1] == ("rung",))


async def test_an_owner_replaced_in_an_outage_learns_of_it_later(
    cluster: Cluster, one: Instance
) -> None:
    await one.reply(ANN, "get")
    one.journal.go_away()
    with pytest.raises(OutcomeUnknownError):
        await one.ask(ANN, ("add", 1))
    await cluster.start("two-1", shards=[ANN.slot])
    one.journal.come_back()
    await until(lambda: one.runtime.shards.lost)
    with pytest.raises(NotOwnedError):
        await one.ask(ANN, "get")
    assert ANN.slot in one.views.lost_shards


async def test_two_instances_never_hold_a_shard_under_one_epoch(cluster: Cluster) -> None:
    await asyncio.gather(*[cluster.start(f"{name}-1") for name in ("one", "two", "three")])
    claims = [(info.shard, info.epoch) for info in cluster.store.claims]
    assert len(claims) == len(set(claims))


async def test_a_hanging_journal_lets_nobody_wait_for_ever(one: Instance) -> None:
    await one.reply(ANN, "get")
    one.journal.pause()
    cold = Address("counter", "ben")
    asked = [one.ask(ANN, ("add", 1)), one.ask(ANN, "get"), one.ask(cold, "get")]
    asked.append(one.ask(ANN, "get", key=key(1)))
    began = one.clock.monotonic()
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(result) for result in results} == {DeadlineExceededError}
    assert one.clock.monotonic() - began <= 5.1


async def test_a_failing_subscription_ends_the_runtime_loudly(one: Instance) -> None:
    del one.views.told  # the next event finds the subscription broken
    answer = one.ask(ANN, ("add", 1))
    error = await one.runtime.failed
    assert isinstance(error, AttributeError)
    assert one.runtime.health.problem() == "ended by a failure"
    with pytest.raises(UnavailableError):
        await answer


async def test_a_lost_shard_may_be_claimed_back(cluster: Cluster, one: Instance) -> None:
    await one.ask(ANN, ("add", 1))
    two = await cluster.start("two-1", shards=[ANN.slot])
    await two.ask(ANN, ("add", 1))
    with pytest.raises(NotOwnedError):
        await one.ask(ANN, ("add", 1))
    await until(lambda: one.runtime.shards.lost)
    await one.runtime.shards.claim(one.runtime.shards.lost)
    assert one.runtime.health.problem() is None
    assert await one.reply(ANN, ("add", 1)) == 3
    assert one.runtime.health.statistics().epochs[ANN.slot] == 3


async def test_a_start_that_failed_may_be_repeated(cluster: Cluster) -> None:
    one = cluster.new()
    one.journal.go_away()
    with pytest.raises(JournalError):
        await one.runtime.start()
    one.journal.come_back()
    await one.runtime.start()
    assert await one.reply(ANN, ("add", 1)) == 1


async def test_views_learn_the_state_when_a_snapshot_hides_events(cluster: Cluster) -> None:
    one = await cluster.start(limits=Limits(snapshot_bytes_min=10))
    await one.ask(ANN, ("add", 1))
    one.journal.unknown_after_write()
    with pytest.raises(OutcomeUnknownError):
        await one.ask(ANN, ("add", 2))
    await until(lambda: one.runtime.health.problem() is None)
    assert one.views.events(ANN) == [("added", 1)]
    assert one.views.loads[-1] == (ANN, 3)


async def test_an_answer_from_before_the_doubt_does_not_settle_it(
    cluster: Cluster,
) -> None:
    one = await cluster.start()
    one.journal.latency_s = 0.4
    one.runtime.shards.doubt()
    await pass_time(0.2)
    one.runtime.shards.doubt()
    await pass_time(0.3)
    assert not one.runtime.shards.trustworthy, "the first look was sent before the second doubt"
    await pass_time(0.4)
    assert one.runtime.shards.trustworthy


async def test_why_a_batch_was_refused_is_told_until_one_is_taken(one: Instance) -> None:
    """Claims and reads may work while rows cannot be written, as with a disk that is full."""
    one.journal.fail_next()
    with pytest.raises(OutcomeUnknownError):
        await one.ask(ANN, ("add", 1))
    await until(lambda: one.runtime.health.problem() is None)
    assert "ordered by a test" in one.runtime.shards.journal_refusal
    assert one.runtime.health.journal_errors == {"out_of_reach": 1}
    await one.ask(ANN, ("add", 1))
    assert one.runtime.shards.journal_refusal == ""
