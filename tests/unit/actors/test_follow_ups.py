"""What follows from a decision is done after its answer, once at least, whatever crashes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.address import Address
from actors.behaviour import CommandKey
from actors.core.context import Limits
from actors.errors import EntityCrashedError, NotOwnedError
from actors.transport import Answer
from tests.support.runtimes import Cluster, Instance, pass_time, until

HERALD, ANN, BEN = Address("herald", "h"), Address("counter", "ann"), Address("counter", "ben")


class Gate:
    """Carries the steps of sagas once it is open."""

    def __init__(self) -> None:
        self.open = False
        self.instance: Instance

    def ask(
        self, address: Address, command: Any, key: CommandKey | None = None
    ) -> asyncio.Future[Answer]:
        if self.open:
            return self.instance.runtime.ask_inside(address, command)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        future.set_exception(NotOwnedError())
        return future


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def gated(cluster: Cluster, gate: Gate) -> Instance:
    gate.instance = await cluster.start(ask_anywhere=gate.ask, limits=Limits(entities_max=3))
    return gate.instance


async def test_the_answer_does_not_wait_for_it(gated: Instance, gate: Gate) -> None:
    began = gated.clock.monotonic()
    assert await gated.reply(HERALD, ("tell", "ann")) == "noted"
    assert gated.clock.monotonic() == began
    assert await gated.reply(ANN, "get") == 0
    gate.open = True
    await until(lambda: not gated.runtime.health.statistics().sagas)
    assert await gated.reply(ANN, "get") == 1


async def test_one_that_is_done_is_forgotten(cluster: Cluster, gated: Instance, gate: Gate) -> None:
    gate.open = True
    await gated.reply(HERALD, ("tell", "ann"))
    await until(lambda: HERALD not in cluster.store.timers)
    await gated.reply(HERALD, ("tell", "ben"))
    await until(lambda: HERALD not in cluster.store.timers)
    two = await cluster.start("two-1")
    await two.reply(HERALD, ("rest",))
    await pass_time(60.0)
    assert await two.runtime.load_state([ANN, BEN]) == [1, 1]


async def test_the_next_owner_does_what_was_not_done(cluster: Cluster, gated: Instance) -> None:
    await gated.reply(HERALD, ("tell", "ann"))
    two = await cluster.start("two-1")
    await until(lambda: HERALD not in cluster.store.timers)
    assert await two.reply(ANN, "get") == 1


async def test_later_decisions_do_not_take_its_mark_back(cluster: Cluster, gated: Instance) -> None:
    """Not even while the decision that it follows from is on its way to the journal."""
    gated.journal.latency_s = 0.1
    told = gated.ask(HERALD, ("tell", "ann"))
    await asyncio.gather(told, *[gated.ask(HERALD, ("rest",)) for _ in range(3)])
    await pass_time(10.0)
    assert HERALD in cluster.store.timers
    two = await cluster.start("two-1")
    await until(lambda: HERALD not in cluster.store.timers)
    assert await two.reply(ANN, "get") == 1


async def test_its_entity_stays_in_memory_until_it_is_done(gated: Instance, gate: Gate) -> None:
    await gated.reply(HERALD, ("tell", "ann"))
    for number in range(20):
        await gated.reply(Address("counter", str(number)), ("add", 1))
    gate.open = True
    await until(lambda: not gated.runtime.health.statistics().sagas)
    assert await gated.reply(ANN, "get") == 1


async def test_a_crash_of_its_entity_loses_nothing(gated: Instance, gate: Gate) -> None:
    await gated.reply(HERALD, ("tell", "ann"))
    with pytest.raises(EntityCrashedError):
        await gated.reply(HERALD, 5)
    gate.open = True
    await gated.reply(HERALD, ("rest",))
    await until(lambda: not gated.runtime.health.statistics().sagas)
    assert await gated.reply(ANN, "get") == 1
