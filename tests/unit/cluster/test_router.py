"""The way of a message to its owner: here, there, to the next, or held back until one is there."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from actors.address import Address
from actors.behaviour import CommandKey
from actors.cluster import router as limits
from actors.cluster.directory import ShardDirectory
from actors.cluster.router import Router
from actors.core.envelope import LOOK_UP
from actors.errors import (
    DeadlineExceededError,
    JournalUnavailableError,
    KeyInFlightError,
    KeyReusedError,
    NotOwnedError,
    OutcomeUnknownError,
    OverloadedError,
    UnavailableError,
)
from actors.peers.protocol import MovedError
from actors.tasks import Tasks
from actors.transport import Answer, Request
from tests.support.memory_tracer import MemoryTracer
from tests.support.runtimes import key
from tests.support.virtual_time import VirtualClock

ANN = Address("counter", "ann")
SLOT = ANN.slot
KEY = key(1)


class Script:
    """What is answered, in turn; the last one for ever."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)

    def next(self) -> Answer:
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return Answer(outcome)


class FakeRuntime:
    """Serves the shard under an epoch, or does not."""

    def __init__(self) -> None:
        self.epoch = 0
        self.frozen = False
        self.script = Script("here")
        self.asked: list[tuple[Any, CommandKey | None, float]] = []
        self.journal_away = False
        self.shards = self

    def check_past(self, shard: int) -> None:
        pass

    def check_journal(self, shard: int) -> None:
        if self.journal_away:
            raise JournalUnavailableError

    def epoch_of(self, shard: int) -> int:
        return 0 if self.frozen else self.epoch

    def holds(self, shard: int) -> bool:
        return self.epoch > 0

    async def send(self, request: Request) -> Answer:
        left_s = request.deadline - VirtualClock().monotonic()
        self.asked.append((request.command, request.key, left_s))
        return self.script.next()

    def ask_inside(
        self, address: Address, command: Any, key: CommandKey | None = None
    ) -> asyncio.Future[Answer]:
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        future.set_result(Answer("inside"))
        return future


class FakeLinks:
    """To any instance; ``scripts`` says what each answers, ``takes_s`` how late."""

    def __init__(self) -> None:
        self.scripts: defaultdict[str, Script] = defaultdict(
            lambda: Script(NotOwnedError("cannot be reached"))
        )
        self.takes_s = 0.0
        self.asked: list[tuple[str, int, int]] = []
        self.messages: list[Any] = []

    async def ask(self, instance: str, request: Request) -> Answer:
        self.asked.append((instance, request.hops, request.epoch))
        self.messages.append(request.command)
        await asyncio.sleep(self.takes_s)
        return self.scripts[instance].next()

    def tell(self, instance: str, request: Request, on_lost: Callable[[], None]) -> None:
        """Nothing is told here."""

    def connected(self, instance: str) -> bool:
        return True

    async def close(self) -> None:
        """Nothing to close."""


class RouterRig:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.runtime = FakeRuntime()
        self.links = FakeLinks()
        self.directory = ShardDirectory()
        self.tasks = Tasks("router")
        self.router = Router(
            "me",
            self.runtime,  # type: ignore[arg-type]  # what the router asks of one
            self.links,
            self.directory,
            self.clock,
            self.tasks,
        )

    async def reply(self, **options: Any) -> Any:
        return (await self.router.ask(ANN, "get", **options)).reply

    async def refusal(self, **options: Any) -> tuple[Exception, float]:
        """What it is refused with, and after how long."""
        began = self.clock.monotonic()
        with pytest.raises((UnavailableError, KeyInFlightError, KeyReusedError)) as caught:
            await self.router.ask(ANN, "get", **options)
        return caught.value, self.clock.monotonic() - began


@pytest.fixture
async def rig() -> AsyncIterator[RouterRig]:
    rig = RouterRig()
    yield rig
    await rig.tasks.close()
    assert not rig.tasks.failed.done()
    assert rig.router.held == 0


# -- ways --------------------------------------------------------------------------------------


async def test_what_is_here_goes_into_the_mailbox(rig: RouterRig) -> None:
    rig.runtime.epoch = 3
    assert await rig.reply() == "here"
    assert rig.links.asked == []
    assert rig.runtime.asked == [("get", None, limits.ASK_TIMEOUT_S)]


async def test_a_remote_ask_takes_one_hop_with_the_known_epoch(rig: RouterRig) -> None:
    rig.directory.learn(SLOT, "b", 7)
    rig.links.scripts["b"] = Script("there")
    assert await rig.reply() == "there"
    assert rig.links.asked == [("b", 1, 7)]


async def test_a_former_owner_names_the_next_one(rig: RouterRig) -> None:
    rig.directory.learn(SLOT, "b", 7)
    rig.links.scripts["b"] = Script(MovedError(owner="c", epoch=8))
    rig.links.scripts["c"] = Script("there")
    assert await rig.reply() == "there"
    assert rig.links.asked == [("b", 1, 7), ("c", 2, 8)]
    assert rig.clock.monotonic() == 0.0
    assert rig.router.held_total == 0


async def test_two_hops_are_most_and_then_it_is_held_back_for_news(rig: RouterRig) -> None:
    rig.directory.learn(SLOT, "b", 7)
    rig.links.scripts["b"] = Script(MovedError(owner="c", epoch=8))
    rig.links.scripts["c"] = Script(MovedError(owner="d", epoch=9))
    rig.links.scripts["d"] = Script("there")
    assert await rig.reply() == "there"
    assert rig.links.asked == [("b", 1, 7), ("c", 2, 8), ("d", 1, 9)]


async def test_a_shard_that_arrives_while_asked_for_answers_here(
    rig: RouterRig,
) -> None:
    rig.directory.learn(SLOT, "b", 7)
    rig.links.scripts["b"] = Script(MovedError(owner="me", epoch=8))
    rig.runtime.frozen, rig.runtime.epoch = True, 8
    asked = asyncio.ensure_future(rig.reply())
    await asyncio.sleep(0.2)
    rig.runtime.frozen = False
    rig.directory.wake(SLOT)
    assert await asked == "here"
    assert rig.clock.monotonic() == 0.2


async def test_a_shard_that_leaves_while_it_is_asked_for_is_followed(rig: RouterRig) -> None:
    rig.runtime.epoch = 3
    rig.runtime.script = Script(NotOwnedError("on the move"))
    rig.links.scripts["b"] = Script("there")
    asked = asyncio.ensure_future(rig.reply())
    await asyncio.sleep(0.01)
    rig.runtime.epoch = 0
    rig.directory.learn(SLOT, "b", 4)
    assert await asked == "there"


# -- holding back ------------------------------------------------------------------------------


async def test_callers_are_held_back_until_the_new_owner_confirms(
    rig: RouterRig,
) -> None:
    rig.directory.learn(SLOT, "b", 7)
    rig.links.scripts["b"] = Script(MovedError(owner="b", epoch=7))
    asked = [asyncio.ensure_future(rig.reply()) for _ in range(100)]
    await asyncio.sleep(0.11)
    assert rig.router.held == 100
    rig.links.scripts["c"] = Script("there")
    rig.directory.learn(SLOT, "c", 8)
    assert await asyncio.gather(*asked) == ["there"] * 100
    assert rig.clock.monotonic() == pytest.approx(0.11), "at once, not at the next try"
    assert rig.router.refused == 0


async def test_a_traced_caller_who_is_held_back_is_told_of(rig: RouterRig) -> None:
    rig.router.tracer = tracer = MemoryTracer()
    with tracer.request():
        traced = asyncio.ensure_future(rig.refusal(timeout_s=0.01))
    await asyncio.gather(traced, rig.refusal(timeout_s=0.01))
    assert tracer.slots_held == [SLOT]


async def test_nobody_is_held_back_for_longer_than_a_takeover(rig: RouterRig) -> None:
    refusal, after_s = await rig.refusal()
    assert type(refusal) is NotOwnedError
    assert limits.HELD_MAX_S <= after_s <= limits.HELD_MAX_S + limits.RETRY_EVERY_S
    assert rig.router.refused == 1


async def test_nobody_is_held_back_while_the_journal_is_away(rig: RouterRig) -> None:
    """Nobody can claim a shard either."""
    rig.runtime.journal_away = True
    refusal, after_s = await rig.refusal()
    assert type(refusal) is JournalUnavailableError
    assert after_s == 0.0


async def test_nobody_is_held_back_beyond_the_callers_own_deadline(rig: RouterRig) -> None:
    refusal, after_s = await rig.refusal(timeout_s=0.3)
    assert isinstance(refusal, NotOwnedError | DeadlineExceededError)
    assert after_s <= 0.31


async def test_beyond_so_many_held_callers_the_next_is_refused_at_once(
    rig: RouterRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HELD_MAX", 5)
    held = [asyncio.ensure_future(rig.refusal()) for _ in range(5)]
    await asyncio.sleep(0.01)
    refusal, after_s = await rig.refusal()
    assert (type(refusal), after_s) == (NotOwnedError, 0.0)
    assert rig.router.refused == 1
    await asyncio.gather(*held)


# -- trying again ------------------------------------------------------------------------------


async def test_a_keyed_ask_is_repeated_at_the_next_owner(rig: RouterRig) -> None:
    rig.directory.learn(SLOT, "b", 7)
    rig.links.scripts["b"] = Script(OutcomeUnknownError("the link was lost"), NotOwnedError())
    rig.links.scripts["c"] = Script("there")
    asked = asyncio.ensure_future(rig.reply(key=KEY))
    await asyncio.sleep(1.0)
    rig.directory.learn(SLOT, "c", 8)
    assert await asked == "there"


async def test_a_repeatable_ask_is_repeated_and_no_other(rig: RouterRig) -> None:
    rig.directory.learn(SLOT, "b", 7)
    rig.links.scripts["b"] = Script(OutcomeUnknownError("the link was lost"), "there")
    assert await rig.reply(repeatable=True) == "there"
    rig.links.scripts["b"] = Script(OutcomeUnknownError("the link was lost"), "there")
    refusal, after_s = await rig.refusal()
    assert (type(refusal), after_s) == (OutcomeUnknownError, 0.0)


async def test_a_first_try_that_is_still_under_way_is_waited_for(rig: RouterRig) -> None:
    rig.directory.learn(SLOT, "b", 7)
    lost, busy = OutcomeUnknownError("the link was lost"), KeyInFlightError()
    rig.links.scripts["b"] = Script(lost, busy, busy, "there")
    assert await rig.reply(key=KEY) == "there"
    assert rig.clock.monotonic() <= 4 * limits.RETRY_EVERY_S


async def test_a_key_in_flight_by_another_caller_is_told_at_once(rig: RouterRig) -> None:
    rig.directory.learn(SLOT, "b", 7)
    rig.links.scripts["b"] = Script(KeyInFlightError())
    refusal, after_s = await rig.refusal(key=KEY)
    assert (type(refusal), after_s) == (KeyInFlightError, 0.0)


@pytest.mark.parametrize(
    "last", [NotOwnedError("gone"), JournalUnavailableError(), KeyInFlightError()]
)
async def test_after_two_tries_the_outcome_is_unknown(rig: RouterRig, last: Exception) -> None:
    rig.directory.learn(SLOT, "b", 7)
    rig.links.scripts["b"] = Script(OutcomeUnknownError("the link was lost"), last)
    refusal, _ = await rig.refusal(key=KEY)
    assert type(refusal) is OutcomeUnknownError


@pytest.mark.parametrize("error", [OverloadedError(), JournalUnavailableError(), KeyReusedError()])
async def test_what_another_owner_would_not_mend_is_told_at_once(
    rig: RouterRig, error: Exception
) -> None:
    rig.directory.learn(SLOT, "b", 7)
    rig.links.scripts["b"] = Script(error)
    refusal, after_s = await rig.refusal(key=KEY)
    assert (refusal, after_s) == (error, 0.0)


# -- the rest ----------------------------------------------------------------------------------


async def test_steps_of_sagas_go_anywhere_and_are_tried_again(rig: RouterRig) -> None:
    rig.runtime.epoch = 1
    assert (await rig.router.forward(ANN, "get")).reply == "inside"
    rig.runtime.epoch = 0
    rig.directory.learn(SLOT, "b", 7)
    rig.links.scripts["b"] = Script(OutcomeUnknownError("lost"), "there")
    assert (await rig.router.forward(ANN, "get")).reply == "there"
    rig.links.scripts["b"] = Script(OverloadedError("full"))
    with pytest.raises(OverloadedError):
        await rig.router.forward(ANN, "get")


async def test_an_outcome_is_looked_up_anywhere(rig: RouterRig) -> None:
    rig.directory.learn(SLOT, "b", 7)
    rig.links.scripts["b"] = Script(None)
    assert await rig.router.look_up(ANN, KEY) is None
    assert rig.links.messages == [LOOK_UP]
