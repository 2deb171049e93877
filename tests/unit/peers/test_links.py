"""What only real links do: they are lost, come back, fill up and fall silent."""

from __future__ import annotations

import asyncio
import time
from copy import copy
from typing import Any

import msgspec
import pytest
from msgspec import structs

from actors.errors import (
    DeadlineExceededError,
    NotOwnedError,
    OutcomeUnknownError,
    OverloadedError,
    StoppingError,
    UnavailableError,
)
from actors.peers import MovedError, PeerLimits, PeerStatistics, PeerTransport
from actors.transport import Answer, Request, ShardOwner
from tests.support.peer_links import ANN, LIMITS, WAIT_MAX_S, Pair, until


async def ask(pair: Pair, transport: PeerTransport, command: Any, **options: Any) -> Answer:
    deadline = pair.in_s(options.pop("seconds", 60.0))
    return await transport.ask("two", Request(ANN, command, deadline, **options))


def asked(
    pair: Pair, transport: PeerTransport, command: Any, count: int, **options: Any
) -> list[asyncio.Task[Answer]]:
    return [asyncio.create_task(ask(pair, transport, command, **options)) for _ in range(count)]


async def ends(asks: list[asyncio.Task[Answer]]) -> list[Any]:
    """Everybody's answer or error; fails if somebody waits for ever."""
    async with asyncio.timeout(WAIT_MAX_S):
        return await asyncio.gather(*asks, return_exceptions=True)


def statistics(transport: PeerTransport) -> PeerStatistics:
    (only,) = transport.statistics()
    return only


async def test_concurrent_asks_share_frames_both_ways(pair: Pair) -> None:
    await pair.start()
    transport = pair.transport()
    await ask(pair, transport, 0)
    before, before_there = statistics(transport), copy(pair.listening.endpoint.traffic)
    await ends(asked(pair, transport, 1, 300))
    here, there = statistics(transport), pair.listening.endpoint.traffic
    assert (here.messages - before.messages) / (here.frames - before.frames) > 20
    assert (there.messages - before_there.messages) / (there.frames - before_there.frames) > 5
    assert (here.asks, here.in_flight, here.connected) == (301, 0, True)
    counts = pair.listening.endpoint.counts
    assert (counts.asks, counts.in_flight, pair.listening.endpoint.links) == (301, 0, 1)


async def test_one_link_serves_all_callers(pair: Pair) -> None:
    await pair.start()
    transport = pair.transport()
    await ends(asked(pair, transport, 1, 100))
    assert pair.relay.accepted == 1


async def test_every_caller_is_answered_when_the_link_is_cut(pair: Pair) -> None:
    await pair.start()
    transport = pair.transport()
    await ask(pair, transport, 1)
    asks = asked(pair, transport, ["wait"], 200)
    await until(lambda: len(pair.clerk.waiting) == 200)
    pair.relay.cut()
    assert {type(error) for error in await ends(asks)} == {OutcomeUnknownError}
    assert statistics(transport).in_flight == 0


async def test_what_had_not_left_when_the_link_was_cut_was_not_done(pair: Pair) -> None:
    """What the kernel and the relay take before they are full has left; the rest has not."""
    await pair.start(limits=LIMITS)
    transport = pair.transport(limits=msgspec.structs.replace(LIMITS, outbox_bytes_max=64 << 20))
    await ask(pair, transport, 1)
    seen = len(pair.clerk.got)
    pair.relay.stop()
    asks = asked(pair, transport, "x" * 100_000, 300)
    sent = statistics(transport).messages
    await until(lambda: statistics(transport).messages > sent)
    pair.relay.cut()
    pair.relay.go_on()
    kinds = [type(error) for error in await ends(asks)]
    assert set(kinds) == {OutcomeUnknownError, NotOwnedError}
    assert kinds.index(NotOwnedError) == kinds.count(OutcomeUnknownError), "first in, first out"
    assert len(pair.clerk.got) - seen <= kinds.count(OutcomeUnknownError)


async def test_a_lost_link_comes_back_by_itself(pair: Pair) -> None:
    await pair.start()
    transport = pair.transport()
    await ask(pair, transport, 1)
    looked_up = pair.looked_up
    pair.relay.cut()
    await until(lambda: statistics(transport).reconnects == 1)
    assert (await ask(pair, transport, 2)).reply == 2
    assert pair.looked_up > looked_up, "the address is asked for at each connect"


async def test_a_restarted_peer_is_known_by_its_new_incarnation(pair: Pair) -> None:
    await pair.start()
    transport = pair.transport()
    asks = asked(pair, transport, ["wait"], 1)
    await until(lambda: pair.clerk.waiting)
    assert statistics(transport).incarnation == "two-1"
    await pair.restart(incarnation="two-2")
    assert {type(error) for error in await ends(asks)} == {OutcomeUnknownError}
    await until(lambda: statistics(transport).incarnation == "two-2")
    assert (await ask(pair, transport, 2)).reply == 2


async def test_a_peer_that_moved_is_found_at_its_new_address(pair: Pair) -> None:
    await pair.start()
    transport = pair.transport()
    await ask(pair, transport, 1)
    pair.members["two"] = f"http://127.0.0.1:{pair.listening.port}/"
    accepted = pair.relay.accepted
    pair.relay.cut()
    await until(lambda: statistics(transport).reconnects == 1)
    assert (await ask(pair, transport, 2)).reply == 2
    assert pair.relay.accepted == accepted


async def test_who_does_not_listen_is_refused_at_once(pair: Pair) -> None:
    await pair.start()
    pair.members["two"] = "http://127.0.0.1:1"
    transport = pair.transport()
    with pytest.raises(NotOwnedError):
        await ask(pair, transport, 1, seconds=60)
    assert not statistics(transport).connected
    assert statistics(transport).refused == 1


async def test_a_peer_that_is_no_member_any_more_is_forgotten(pair: Pair) -> None:
    await pair.start()
    transport = pair.transport()
    await ask(pair, transport, 1)
    del pair.members["two"]
    pair.relay.cut()
    await until(lambda: transport.statistics() == [])
    with pytest.raises(NotOwnedError, match="no member"):
        await ask(pair, transport, 1)


async def test_a_silent_link_is_dead(pair: Pair) -> None:
    quick = msgspec.structs.replace(LIMITS, ping_every_s=0.05, silence_max_s=5.0)
    await pair.start()
    transport = pair.transport(limits=quick)
    asks = asked(pair, transport, ["wait"], 3)
    await until(lambda: len(pair.clerk.waiting) == 3)
    pair.relay.stop()
    (error, *_) = await ends(asks)
    assert type(error) is OutcomeUnknownError
    assert "nothing was heard" in str(error)


async def test_pings_keep_an_idle_link_up_and_measure_it(pair: Pair) -> None:
    quick = msgspec.structs.replace(LIMITS, ping_every_s=0.02)
    await pair.start(limits=quick)
    transport = pair.transport(limits=quick)
    await ask(pair, transport, 1)
    await until(lambda: statistics(transport).messages > 10)
    measured = statistics(transport)
    assert measured.reconnects == 0
    assert measured.round_trip_avg_ms is not None
    assert 0 < measured.round_trip_avg_ms <= measured.round_trip_max_ms


async def test_what_is_told_is_answered_only_by_a_refusal_or_a_lost_link(pair: Pair) -> None:
    """Given requests that nobody waits for, then nothing comes back of one that is taken, and the
    sender hears of one that is refused, and when the link ends."""
    await pair.start()
    transport = pair.transport()
    lost: list[int] = []

    def tell(command: Any, number: int) -> None:
        request = Request(ANN, command, pair.in_s(5.0))
        transport.tell("two", request, lambda: lost.append(number))

    with pytest.raises(NotOwnedError):
        tell(0, 0)
    await ask(pair, transport, 1)
    answers = pair.listening.endpoint.traffic.messages
    tell(2, 2)
    await until(lambda: pair.clerk.got[-1][1] == 2)
    assert (await ask(pair, transport, 3)).reply == 3
    assert pair.listening.endpoint.traffic.messages == answers + 1
    pair.clerk.errors["busy"] = OverloadedError("busy")
    tell("busy", 4)
    await until(lambda: lost == [4])
    tell(5, 5)
    pair.relay.cut()
    await until(lambda: lost == [4, 5])


async def test_a_link_that_is_heard_is_pinged_only_to_measure_it(pair: Pair) -> None:
    quick = msgspec.structs.replace(LIMITS, ping_every_s=0.2, measure_every_s=60.0)
    await pair.start(limits=quick)
    transport = pair.transport(limits=quick)
    await ask(pair, transport, 1)
    before, now_s, pauses = statistics(transport), time.monotonic(), 0
    ends_s = now_s + 3 * quick.ping_every_s
    while now_s < ends_s:
        await ask(pair, transport, 1)
        asked_s, now_s = now_s, time.monotonic()
        pauses += now_s - asked_s >= quick.ping_every_s / 2
    after = statistics(transport)
    pings = after.messages - before.messages - (after.asks - before.asks)
    assert pings <= 2 * (1 + pauses), "the first of each side, and those for this machine's pauses"


async def test_a_peer_that_does_not_read_costs_bounded_memory(pair: Pair) -> None:
    narrow = msgspec.structs.replace(LIMITS, outbox_bytes_max=1 << 20)
    await pair.start()
    transport = pair.transport(limits=narrow)
    await ask(pair, transport, 1)
    pair.relay.stop()
    asks = asked(pair, transport, "x" * 100_000, 1)
    for _ in range(1_000):
        asks += asked(pair, transport, "x" * 100_000, 1)
        await asyncio.sleep(0)
        if statistics(transport).refused:
            break
    refused = [task.exception() for task in asks if task.done()]
    assert {type(error) for error in refused} == {OverloadedError}
    pair.relay.go_on()
    assert {type(end) for end in await ends(asks)} == {Answer, OverloadedError}


async def test_a_peer_that_does_not_take_its_answers_is_cut_off(pair: Pair) -> None:
    """The answering side stops reading when its outbox is full, and hears nothing more."""
    narrow = msgspec.structs.replace(
        LIMITS, outbox_bytes_max=100_000, ping_every_s=0.1, silence_max_s=0.5
    )
    await pair.start(limits=narrow)
    transport = pair.transport()
    asks = asked(pair, transport, ["wait"], 300)
    await until(lambda: len(pair.clerk.waiting) == 300)
    pair.relay.stop()
    pair.clerk.finish("x" * 100_000)
    await until(lambda: pair.listening.endpoint.links == 0)
    pair.relay.cut()
    pair.relay.go_on()
    assert {type(end) for end in await ends(asks)} <= {Answer, OutcomeUnknownError}


async def test_no_more_than_the_limit_wait_at_one_peer(pair: Pair) -> None:
    await pair.start()
    transport = pair.transport(limits=msgspec.structs.replace(LIMITS, asks_max=10))
    asks = asked(pair, transport, ["wait"], 15)
    await until(lambda: len(pair.clerk.waiting) == 10 and statistics(transport).refused == 5)
    pair.clerk.finish()
    kinds = [type(end) for end in await ends(asks)]
    assert (kinds.count(Answer), kinds.count(OverloadedError)) == (10, 5)


async def test_the_answering_side_has_a_limit_of_its_own(pair: Pair) -> None:
    await pair.start(limits=msgspec.structs.replace(LIMITS, asks_max=10))
    transport = pair.transport()
    asks = asked(pair, transport, ["wait"], 15)
    await until(lambda: pair.listening.endpoint.counts.refused == 5)
    assert len(pair.clerk.waiting) == 10
    pair.clerk.finish()
    kinds = [type(end) for end in await ends(asks)]
    assert (kinds.count(Answer), kinds.count(OverloadedError)) == (10, 5)


async def test_a_full_frame_is_followed_by_another(pair: Pair) -> None:
    small = msgspec.structs.replace(LIMITS, frame_messages_max=7, frame_bytes_max=1_000)
    await pair.start(limits=small)
    transport = pair.transport(limits=small)
    assert len(await ends(asked(pair, transport, "x" * 200, 50))) == 50
    sent = statistics(transport)
    assert sent.messages / sent.frames < 5


async def test_what_fits_into_no_frame_is_the_callers_mistake(pair: Pair) -> None:
    await pair.start()
    transport = pair.transport()
    with pytest.raises(ValueError, match="too long"):
        await ask(pair, transport, "x" * 300_000)
    assert (await ask(pair, transport, 1)).reply == 1
    assert statistics(transport).in_flight == 0


async def test_a_reply_that_fits_into_no_frame_may_have_been_done(pair: Pair) -> None:
    await pair.start()
    transport = pair.transport()
    asks = asked(pair, transport, ["wait"], 1)
    await until(lambda: pair.clerk.waiting)
    pair.clerk.finish("x" * 300_000)
    (error,) = await ends(asks)
    assert type(error) is OutcomeUnknownError


@pytest.mark.parametrize("seconds", [0.0, -1.0])
async def test_what_is_too_late_is_not_sent(pair: Pair, seconds: float) -> None:
    await pair.start()
    transport = pair.transport()
    await ask(pair, transport, 1)
    with pytest.raises(DeadlineExceededError):
        await ask(pair, transport, 2, seconds=seconds)
    assert len(pair.clerk.got) == 1


async def test_nobody_waits_longer_for_a_link_than_for_an_answer(pair: Pair) -> None:
    await pair.start()
    pair.relay.stop()
    transport = pair.transport()
    with pytest.raises(DeadlineExceededError):
        await ask(pair, transport, 1, seconds=0.1)
    assert pair.clerk.got == []


async def test_a_caller_is_told_in_time_though_the_peer_forgot_it(pair: Pair) -> None:
    await pair.start()
    transport = pair.transport()
    await ask(pair, transport, 1)
    pair.relay.stop()
    with pytest.raises(DeadlineExceededError):
        await ask(pair, transport, 2, seconds=0.1)
    assert statistics(transport).in_flight == 0


async def test_two_hops_are_the_most(pair: Pair) -> None:
    await pair.start()
    transport = pair.transport()
    assert (await ask(pair, transport, 1, hops=2)).reply == 1
    with pytest.raises(NotOwnedError):
        await ask(pair, transport, 2, hops=3)
    assert len(pair.clerk.got) == 1


async def test_who_is_no_owner_names_the_one_it_knows(pair: Pair) -> None:
    await pair.start(owner_of=lambda slot: ShardOwner("three", 9))
    pair.clerk.errors["fail"] = NotOwnedError()
    with pytest.raises(MovedError) as raised:
        await ask(pair, pair.transport(), "fail")
    assert (raised.value.owner, raised.value.epoch) == ("three", 9)


async def test_an_owner_that_was_replaced_without_knowing_is_not_asked(pair: Pair) -> None:
    await pair.start(owner_of=lambda slot: ShardOwner("two", 4))
    transport = pair.transport()
    assert (await ask(pair, transport, 1, epoch=4)).reply == 1
    with pytest.raises(NotOwnedError, match="later owner"):
        await ask(pair, transport, 2, epoch=5)
    assert len(pair.clerk.got) == 1


async def test_closing_answers_everybody(pair: Pair) -> None:
    await pair.start()
    transport = pair.transport()
    asks = asked(pair, transport, ["wait"], 50)
    await until(lambda: len(pair.clerk.waiting) == 50)
    await transport.close()
    assert {type(error) for error in await ends(asks)} == {OutcomeUnknownError}
    with pytest.raises(StoppingError):
        await ask(pair, transport, 1)
    await until(lambda: pair.listening.endpoint.links == 0)


async def test_closing_answers_those_who_wait_for_a_link(pair: Pair) -> None:
    await pair.start()
    pair.relay.stop()
    transport = pair.transport()
    asks = asked(pair, transport, 1, 5)
    await until(lambda: pair.relay.accepted)
    await transport.close()
    assert {type(error) for error in await ends(asks)} == {NotOwnedError}


async def test_a_closed_endpoint_ends_its_links_and_lets_nobody_in(pair: Pair) -> None:
    await pair.start()
    transport = pair.transport()
    asks = asked(pair, transport, ["wait"], 5)
    await until(lambda: len(pair.clerk.waiting) == 5)
    await pair.listening.endpoint.close()
    assert {type(error) for error in await ends(asks)} == {OutcomeUnknownError}
    with pytest.raises(UnavailableError):
        await ask(pair, transport, 1)


async def test_answers_that_are_there_leave_before_the_endpoint_closes(pair: Pair) -> None:
    # So many take seconds where the processor belongs to others; no limit is the matter here.
    await pair.start(limits=structs.replace(LIMITS, close_timeout_s=WAIT_MAX_S))
    transport = pair.transport()
    asks = asked(pair, transport, ["wait"], 2_500, seconds=WAIT_MAX_S)
    await until(lambda: len(pair.clerk.waiting) == 2_500)
    pair.clerk.finish()
    await pair.listening.endpoint.close()
    assert {type(end) for end in await ends(asks)} == {Answer}


def test_the_limits_fit_together() -> None:
    limits = PeerLimits()
    assert limits.ping_every_s * 2 < limits.silence_max_s
    assert limits.backoff_min_s < limits.backoff_max_s
    assert limits.frame_bytes_max < limits.outbox_bytes_max
