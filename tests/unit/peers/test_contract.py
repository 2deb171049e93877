"""Both transports give the same answers and the same errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from actors.behaviour import CommandKey
from actors.clock import SystemClock
from actors.core.envelope import LOOK_UP, QUERY
from actors.errors import (
    DeadlineExceededError,
    EntityCrashedError,
    JournalUnavailableError,
    KeyInFlightError,
    KeyReusedError,
    NotOwnedError,
    OutcomeUnknownError,
    OverloadedError,
    StoppingError,
    UnavailableError,
)
from actors.transport import Request, Transport
from tests.support.peer_links import ANN, Clerk, Pair, until
from tests.support.twins.peers import MemoryTransport

KEY = CommandKey(b"k" * 16, b"f" * 16)


class ActorClient:
    """A transport to the instance ``two``, and how to cut it."""

    transport: Transport
    clerk: Clerk
    pair: Pair | None = None

    def in_s(self, seconds: float) -> float:
        return SystemClock().monotonic() + seconds

    def cut(self) -> None:
        if self.pair is not None:
            self.pair.relay.cut()
        else:
            assert isinstance(self.transport, MemoryTransport)
            self.transport.cut("two")


@pytest.fixture(params=["memory", "websocket"])
async def asking(request: pytest.FixtureRequest, pair: Pair) -> AsyncIterator[ActorClient]:
    await pair.start()
    asking = ActorClient()
    asking.clerk = pair.clerk
    if request.param == "memory":
        memory = MemoryTransport()
        memory.join("two", pair.clerk.ask_here)
        asking.transport = memory
    else:
        asking.transport, asking.pair = pair.transport(), pair
    yield asking
    pair.clerk.finish()


async def test_the_reply_comes_back(asking: ActorClient) -> None:
    answer = await asking.transport.ask("two", Request(ANN, 5, asking.in_s(60)))
    assert (answer.reply, answer.replayed) == (5, False)


async def test_address_key_and_time_arrive(asking: ActorClient) -> None:
    await asking.transport.ask("two", Request(ANN, "get", asking.in_s(60), KEY))
    ((address, command, key, timeout_s),) = asking.clerk.got
    assert (address, command, key) == (ANN, "get", KEY)
    assert 0 < timeout_s <= 60


async def test_a_stored_reply_says_so(asking: ActorClient) -> None:
    asking.clerk.replayed = True
    answer = await asking.transport.ask("two", Request(ANN, "get", asking.in_s(60), KEY))
    assert answer.replayed


async def test_a_beginning_has_no_reply(asking: ActorClient) -> None:
    answer = await asking.transport.ask("two", Request(ANN, LOOK_UP, asking.in_s(60), KEY))
    assert (answer.reply, answer.replayed) == (None, False)
    assert asking.clerk.got[0][1] is LOOK_UP


async def test_a_state_can_be_asked_for(asking: ActorClient) -> None:
    answer = await asking.transport.ask("two", Request(ANN, QUERY, asking.in_s(60)))
    assert answer.reply == 7


@pytest.mark.parametrize(
    "error",
    [
        UnavailableError("not now", 3.0),
        OverloadedError("full", 2.5),
        NotOwnedError("elsewhere", 0.25),
        JournalUnavailableError("gone"),
        OutcomeUnknownError("who knows"),
        StoppingError("bye"),
        EntityCrashedError("broken"),
        KeyReusedError(),
        KeyInFlightError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_the_error_that_goes_in_comes_out(asking: ActorClient, error: Exception) -> None:
    asking.clerk.errors["fail"] = error
    with pytest.raises(type(error)) as raised:
        await asking.transport.ask("two", Request(ANN, "fail", asking.in_s(60)))
    assert str(raised.value) == str(error)
    if isinstance(error, UnavailableError):
        assert isinstance(raised.value, UnavailableError)
        assert raised.value.retry_after_s == error.retry_after_s


async def test_who_is_no_member_is_not_asked(asking: ActorClient) -> None:
    with pytest.raises(NotOwnedError):
        await asking.transport.ask("nobody", Request(ANN, "get", asking.in_s(60)))


async def test_a_caller_is_told_when_its_time_is_over(asking: ActorClient) -> None:
    with pytest.raises(DeadlineExceededError):
        await asking.transport.ask("two", Request(ANN, ["wait"], asking.in_s(0.1)))


async def test_many_callers_each_get_their_own_reply(asking: ActorClient) -> None:
    asks = [
        asking.transport.ask("two", Request(ANN, number, asking.in_s(60))) for number in range(500)
    ]
    assert [answer.reply for answer in await asyncio.gather(*asks)] == list(range(500))


async def test_what_was_sent_before_a_cut_has_an_unknown_outcome(asking: ActorClient) -> None:
    asks = [
        asyncio.ensure_future(asking.transport.ask("two", Request(ANN, ["wait"], asking.in_s(60))))
        for _ in range(20)
    ]
    await until(lambda: len(asking.clerk.waiting) == 20)
    asking.cut()
    for error in await asyncio.gather(*asks, return_exceptions=True):
        assert type(error) is OutcomeUnknownError


async def test_a_caller_may_give_up(asking: ActorClient) -> None:
    ask = asyncio.ensure_future(
        asking.transport.ask("two", Request(ANN, ["wait"], asking.in_s(60)))
    )
    await until(lambda: asking.clerk.waiting)
    ask.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ask
    asking.clerk.finish()
    answer = await asking.transport.ask("two", Request(ANN, 1, asking.in_s(60)))
    assert answer.reply == 1
