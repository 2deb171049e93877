"""What the websocket of a date tells, and when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.edge import ALICE, BOB, Edge, running
from tests.support.instance import Instance, catalogue, schedule
from tests.support.ledgers import ledger
from tests.support.websockets import FAST, SEATS, RawSocket, listening


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    """A date of five seats."""
    async with running(Instance(catalogue(schedule("d1", seats=5))), FAST) as started:
        yield started


def states(frame: Any) -> dict[int, str]:
    return {each["seatNumber"]: each["state"] for each in frame["data"]["changed"]}


async def test_first_a_snapshot_of_every_seat_then_what_changes(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    await edge.hold(token, "d1-2")
    async with listening(edge, SEATS, token) as listener:
        first = await listener.frame("seats")
        assert (first["seq"], first["data"]["snapshot"]) == (1, True)
        assert first["data"]["concertScheduleId"] == "d1"
        free = dict.fromkeys((1, 3, 4, 5), "available")
        assert states(first) == {**free, 2: "held"}
        await edge.hold(token, "d1-4")
        second = await listener.frame("seats")
        assert (second["seq"], second["data"]["snapshot"]) == (2, False)
        assert second["data"]["version"] > first["data"]["version"]
        assert states(second) == {4: "held"}
        await edge("POST", "/user/charge", {"userId": ALICE, "amount": 200_000})
        await edge("POST", "/payment", {"seatId": "d1-4"}, token=token)
        third = await listener.until(lambda frame: frame["seq"] == 3)
        assert states(third) == {4: "sold"}


async def test_a_seat_that_becomes_free_is_told(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    reservation = await edge.hold(token, "d1-3")
    async with listening(edge, SEATS, token) as listener:
        assert states(await listener.frame("seats"))[3] == "held"
        await edge("DELETE", f"/reservation/{reservation}", token=token)
        assert states(await listener.frame("seats")) == {3: "available"}


async def test_many_changes_make_few_frames_without_a_gap(edge: Edge) -> None:
    alice, bob = await edge.enter(ALICE), await edge.enter(BOB)
    async with listening(edge, SEATS, alice) as listener:
        known = states(await listener.frame("seats"))
        holders = ((alice, 1), (alice, 2), (bob, 3), (bob, 4), (bob, 5))
        await asyncio.gather(*(edge.hold(token, f"d1-{seat}") for token, seat in holders))
        seq = 1
        while set(known.values()) != {"held"}:
            frame = await listener.frame("seats")
            assert frame["seq"] == seq + 1
            seq += 1
            known |= states(frame)
        assert seq < 1 + len(holders)


async def test_the_same_bytes_go_to_everybody_in_step(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await edge.enter(ALICE)
    sockets = [await RawSocket.open(edge, SEATS, token) for _ in range(5)]
    for each in sockets:
        await each.frame()
        await each.frame()
    written: list[bytes] = []
    push = edge.server._hub.push

    def noted(socket: Any, data: bytes) -> None:
        written.append(data)
        push(socket, data)

    monkeypatch.setattr(edge.server._hub, "push", noted)
    await edge.hold(token, "d1-1")
    received = [await each.frame() for each in sockets]
    assert len(set(received)) == 1
    assert len({id(data) for data in written}) == 1


async def test_who_comes_in_between_is_not_told_old_news_and_misses_nothing(edge: Edge) -> None:
    """The date has moved on since the last round: the newcomer sees the newest, and is in step
    with the others from the next round on."""
    token = await edge.enter(ALICE)
    async with listening(edge, SEATS, token) as old:
        await old.frame("seats")
        await edge.hold(token, "d1-1")
        await old.frame("seats")
        reservation = await edge.hold(token, "d1-2")
        async with listening(edge, SEATS, token) as new:
            first = await new.frame("seats")
            assert states(first)[2] == "held"
            await edge("DELETE", f"/reservation/{reservation}", token=token)
            await edge.hold(token, "d1-3")
            for each in (old, new):
                frame = await each.until(lambda frame: states(frame).get(3) == "held")
                assert states(frame).get(2, "available") == "available"


async def test_when_the_token_ends_so_does_the_socket(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    async with listening(edge, SEATS, token) as listener:
        await listener.frame("seats")
        await edge("DELETE", "/queue", token=token)
        assert (await listener.frame("ended"))["code"] == "token_expired"
        assert await listener.closed() == 1008


async def test_when_the_date_is_gone_all_is_told(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    async with listening(edge, SEATS, token) as listener:
        await listener.frame("seats")
        edge.instance.use(catalogue())
        assert (await listener.frame("ended"))["code"] == "not_found"
        assert await listener.closed() == 1000


async def test_a_version_without_a_difference_is_no_news(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    async with listening(edge, SEATS, token) as listener:
        await listener.frame("seats")
        edge.instance.show("d1", ledger())
        await listener.quiet(FAST.pace.gap_s + 0.1)
        await edge.hold(token, "d1-1")
        assert (await listener.frame("seats"))["seq"] == 2


async def test_a_date_with_other_seats_is_told_as_a_whole(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    async with listening(edge, SEATS, token) as listener:
        await listener.frame("seats")
        larger = schedule("d1", seats=6)
        edge.instance.use(catalogue(larger, version=2))
        second = await listener.frame("seats")
        assert (second["seq"], second["data"]["snapshot"]) == (2, True)
        assert len(states(second)) == 6


async def test_with_a_copy_that_is_too_old_it_stays_open_and_silent(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    async with listening(edge, SEATS, token) as listener:
        await listener.frame("seats")
        with edge.instance.too_old():
            edge.instance.show("d1", ledger(held=[1]))
            await listener.ws.send_str('{"type":"ping"}')
            await listener.frame("pong")
        assert states(await listener.frame("seats")) == {1: "held"}
