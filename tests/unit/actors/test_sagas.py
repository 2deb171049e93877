"""A saga goes on step by step until it is settled, whatever happens in between."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.address import Address
from actors.behaviour import CommandKey
from actors.errors import DeadlineExceededError, NotOwnedError, OutcomeUnknownError
from actors.transport import Answer
from tests.support.runtimes import Cluster, Instance, key, pass_time, until

RICH, POOR, CLOSED = Address("bank", "rich"), Address("bank", "poor"), Address("bank", "closed-x")


@pytest.fixture
async def rich(one: Instance) -> Instance:
    await one.ask(RICH, ("deposit", "d1", 100))
    return one


async def balances(instance: Instance) -> tuple[int, int]:
    return await instance.reply(RICH, "get"), await instance.reply(POOR, "get")


async def test_the_caller_gets_the_reply_of_the_decision_that_settles(rich: Instance) -> None:
    assert await rich.reply(RICH, ("send", "t1", "poor", 40)) == ["sent", "t1"]
    assert await balances(rich) == (60, 40)


async def test_a_refused_step_gives_back_what_was_taken(rich: Instance) -> None:
    assert await rich.reply(RICH, ("send", "t1", "closed-x", 40)) == ["refused", "t1"]
    assert await balances(rich) == (100, 0)


async def test_the_settling_reply_is_stored_under_the_key_that_began_it(
    cluster: Cluster, rich: Instance
) -> None:
    await rich.ask(RICH, ("send", "t1", "poor", 40), key=key(1))
    two = await cluster.start("two-1")
    again = await two.ask(RICH, ("send", "t1", "poor", 40), key=key(1))
    assert (again.reply, again.replayed) == (["sent", "t1"], True)
    assert await balances(two) == (60, 40)


async def test_nothing_is_stored_before_the_saga_is_settled(
    cluster: Cluster, rich: Instance
) -> None:
    rich.journal.latency_s = 0.01
    asked = rich.ask(RICH, ("send", "t1", "poor", 40), key=key(1))
    await until(lambda: len(cluster.store.events(RICH)) == 2)
    assert not cluster.store.outcomes
    await asked
    assert len(cluster.store.outcomes) == 1


async def test_callers_who_ask_for_the_same_saga_get_the_same_reply(rich: Instance) -> None:
    asked = [rich.ask(RICH, ("send", "t1", "poor", 40), key=key(n)) for n in range(3)]
    replies = [(await answer).reply for answer in asked]
    assert replies == [["sent", "t1"]] * 3
    assert await balances(rich) == (60, 40)
    again = [(await rich.ask(RICH, "get", key=key(n))).reply for n in range(3)]
    assert again == replies


async def test_many_sagas_of_one_entity_run_at_a_time(rich: Instance) -> None:
    asked = [rich.ask(RICH, ("send", f"t{n}", "poor", 1)) for n in range(100)]
    await asyncio.gather(*asked)
    assert await balances(rich) == (0, 100)
    assert rich.runtime.health.statistics().sagas == 0


async def test_no_step_is_sent_before_its_saga_is_committed(
    cluster: Cluster, rich: Instance
) -> None:
    await rich.reply(POOR, "get")
    rich.journal.pause()
    asked = rich.ask(RICH, ("send", "t1", "poor", 40))
    await pass_time(1.0)
    assert await rich.reply(POOR, "get") == 0
    rich.journal.resume()
    await asked


async def test_an_interrupted_saga_is_finished_by_the_next_owner(
    cluster: Cluster, rich: Instance
) -> None:
    rich.journal.latency_s = 0.01
    rich.ask(RICH, ("send", "t1", "poor", 40)).add_done_callback(_retrieve)
    await until(lambda: len(cluster.store.events(RICH)) == 2)
    two = await cluster.start("two-1")
    await until(lambda: len(cluster.store.events(RICH)) == 3)
    assert await balances(two) == (60, 40)


async def test_a_deadline_answers_the_caller_and_the_saga_goes_on(
    cluster: Cluster,
) -> None:
    target = Unreachable()
    one = await cluster.start(ask_anywhere=target.ask)
    target.instance = one
    await one.ask(RICH, ("deposit", "d1", 100))
    with pytest.raises(DeadlineExceededError):
        await one.ask(RICH, ("send", "t1", "poor", 40), key=key(1))
    assert one.runtime.health.statistics().sagas == 1
    target.reachable = True
    await until(lambda: one.runtime.health.statistics().sagas == 0)
    again = await one.ask(RICH, ("send", "t1", "poor", 40), key=key(1))
    assert (again.reply, again.replayed) == (["sent", "t1"], True)


async def test_a_step_that_finds_nobody_is_repeated_with_growing_waits(cluster: Cluster) -> None:
    target = Unreachable()
    one = await cluster.start(ask_anywhere=target.ask)
    target.instance = one
    await one.ask(RICH, ("deposit", "d1", 100))
    one.ask(RICH, ("send", "t1", "poor", 40)).add_done_callback(_retrieve)
    await pass_time(60.0)
    waits = [later - earlier for earlier, later in zip(target.at, target.at[1:], strict=False)]
    assert 0.025 <= waits[0] <= 0.05
    assert 2.5 <= waits[-1] <= 5.0
    target.reachable = True
    await until(lambda: one.runtime.health.statistics().sagas == 0)
    assert await balances(one) == (60, 40)


async def test_a_saga_survives_its_entity_being_dropped_by_a_crash(cluster: Cluster) -> None:
    target = Unreachable()
    one = await cluster.start(ask_anywhere=target.ask)
    target.instance = one
    await one.ask(RICH, ("deposit", "d1", 100))
    asked = one.ask(RICH, ("send", "t1", "poor", 40), timeout_s=60.0)
    await until(lambda: target.at)
    with pytest.raises(Exception, match="bank/rich"):
        await one.ask(RICH, "nonsense")
    target.reachable = True
    assert (await asked).reply == ["sent", "t1"]


async def test_a_saga_of_a_lost_shard_has_an_unknown_outcome(cluster: Cluster) -> None:
    """The next owner of the shard ends it."""
    target = Unreachable()
    one = await cluster.start(ask_anywhere=target.ask)
    target.instance = one
    await one.ask(RICH, ("deposit", "d1", 100))
    asked = one.ask(RICH, ("send", "t1", "poor", 40))
    await until(lambda: target.at)
    two = await cluster.start("two-1")
    with pytest.raises(NotOwnedError):
        await one.ask(RICH, ("deposit", "d2", 100))
    with pytest.raises(OutcomeUnknownError):
        await asked
    await until(lambda: two.runtime.health.statistics().sagas == 0)
    assert await balances(two) == (60, 40)


async def test_stopping_lets_sagas_with_a_waiting_caller_end(
    cluster: Cluster, rich: Instance
) -> None:
    asked = rich.ask(RICH, ("send", "t1", "poor", 40))
    await cluster.stop(rich)
    assert (await asked).reply == ["sent", "t1"]


class Unreachable:
    """Carries the steps of sagas, when it can."""

    def __init__(self) -> None:
        self.instance: Instance
        self.reachable = False
        self.at: list[float] = []

    def ask(
        self, address: Address, command: Any, key: CommandKey | None = None
    ) -> asyncio.Future[Answer]:
        self.at.append(self.instance.clock.monotonic())
        if self.reachable:
            return self.instance.runtime.ask_inside(address, command)
        refused: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        refused.set_exception(NotOwnedError())
        return refused


def _retrieve(answer: asyncio.Future[Any]) -> None:
    answer.exception()
