"""Following a place: pushed, broken off, refused, polled."""

from __future__ import annotations

import asyncio

import pytest

from booking_client import AsyncBooking, BookingError, errors
from tests.support.faulty_server import (
    Answer,
    FaultyServer,
    good,
    place,
    problem,
    seats_frame,
    sends,
    tells,
)
from tests.support.later import time_passes

BROKEN_OFF = 1006
LIMIT_S = 30.0
"""For one request, and less than the time after which a silent socket counts as dead."""


async def seen(client: AsyncBooking, *, until_active: bool = True) -> list[int]:
    return [each.position async for each in client.watch("t", until_active=until_active)]


async def test_pushed_places_come_until_the_one_that_is_inside(
    server: FaultyServer, client: AsyncBooking
) -> None:
    server.sockets = [tells(3, 2, 0)]
    assert await seen(client) == [3, 2, 0]
    assert server.asked[0].headers["queue-token"] == "t"
    assert "token" not in server.asked[0].query_string


@pytest.mark.parametrize("code", [1012, 1013, 1011, 1001, BROKEN_OFF])
async def test_after_a_restart_or_a_break_it_comes_back(
    server: FaultyServer, client: AsyncBooking, code: int
) -> None:
    server.sockets = [tells(3, close=code), tells(2, close=code), tells(0)]
    assert await seen(client) == [3, 2, 0]
    assert server.paths == ["/queue/ws"] * 3


async def test_the_spread_is_the_one_that_the_service_asks_for(
    server: FaultyServer, client: AsyncBooking, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("booking_client.live.asyncio.sleep", note)
    monkeypatch.setattr("booking_client.live.random.random", lambda: 0.5)
    server.sockets = [tells(3, close=1012, jitter_ms=8_000), tells(0)]
    assert await seen(client) == [3, 0]
    assert waits == [4.0]


async def test_after_1000_all_is_told(server: FaultyServer, client: AsyncBooking) -> None:
    server.sockets = [tells(1, 0, close=1000), tells(9)]
    assert await seen(client, until_active=False) == [1, 0]
    assert len(server.sockets) == 1


async def test_a_stopping_instance_says_when_to_come_back(
    server: FaultyServer, client: AsyncBooking, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("booking_client.live.asyncio.sleep", note)
    told = {"type": "queue", "seq": 1, "data": place(3)}
    server.sockets = [sends(told, {"type": "reconnect", "afterMs": 700}, close=1012), tells(0)]
    assert await seen(client) == [3, 0]
    assert waits == [0.7]


@pytest.mark.parametrize("code", [1002, 1003, 1007, 1008, 1009])
async def test_after_a_reproach_it_never_comes_back_and_says_why(
    server: FaultyServer, client: AsyncBooking, code: int
) -> None:
    server.sockets = [tells(close=code), tells(9)]
    server.plan = [problem("token_expired", 401)]
    with pytest.raises(errors.TokenExpired):
        await seen(client)
    assert len(server.sockets) == 1


async def test_after_1008_with_a_good_token_it_does_not_come_back_either(
    server: FaultyServer, client: AsyncBooking
) -> None:
    server.sockets = [tells(close=1008), tells(9)]
    server.plan = [good(place(4))]
    with pytest.raises(BookingError, match="1008"):
        await seen(client)
    assert len(server.sockets) == 1


async def test_without_websockets_it_polls(server: FaultyServer, client: AsyncBooking) -> None:
    server.plan = [good(place(2)), good(place(1)), good(place(0))]
    assert await seen(client) == [2, 1, 0]
    assert server.paths == ["/queue/ws"] + ["/queue/status"] * 3


async def test_sockets_that_bring_nothing_are_given_up_for_polling(
    server: FaultyServer, client: AsyncBooking
) -> None:
    server.sockets = [tells(close=1013)] * 5
    server.plan = [good(place(0))]
    assert await seen(client) == [0]
    assert len(server.sockets) == 2


async def test_a_token_that_ends_while_polling_is_said(
    server: FaultyServer, client: AsyncBooking
) -> None:
    server.plan = [good(place(1)), problem("token_expired", 401)]
    with pytest.raises(errors.TokenExpired):
        await seen(client)


async def test_a_websocket_may_live_longer_than_a_request(server: FaultyServer) -> None:
    async def slow(socket: object) -> None:
        await tells(2)(socket)  # type: ignore[arg-type]  # waits until the client has gone

    server.sockets = [slow, tells(0)]
    async with AsyncBooking(server.url, timeout_s=LIMIT_S) as client:
        watch = client.watch("t")
        assert (await anext(watch)).position == 2
        more = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        time_passes(1.5 * LIMIT_S)
        # Nothing comes, and neither does an end: the limit is that of one request.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(more, 0.1)
    assert len(server.sockets) == 1


# -- seats -----------------------------------------------------------------------------------------


async def states(client: AsyncBooking, count: int) -> list[dict[int, str]]:
    """The first changes that are told."""
    found: list[dict[int, str]] = []
    async for changed in client.watch_seats("t", "d"):
        found.append({number: each.state for number, each in changed.items()})
        if len(found) == count:
            break
    return found


async def test_seats_are_told_whole_and_then_as_they_change(
    server: FaultyServer, client: AsyncBooking
) -> None:
    first = seats_frame(1, True, s1="available", s2="sold")
    server.sockets = [sends(first, seats_frame(2, False, s1="held"), close=1000)]
    assert await states(client, 9) == [{1: "available", 2: "sold"}, {1: "held"}]
    assert server.asked[0].query == {"concertScheduleId": "d"}


async def test_a_missed_change_is_made_good_by_a_new_snapshot(
    server: FaultyServer, client: AsyncBooking
) -> None:
    server.sockets = [
        sends(seats_frame(1, True, s1="available"), seats_frame(3, False, s1="held")),
        sends(seats_frame(1, True, s1="sold")),
    ]
    assert await states(client, 2) == [{1: "available"}, {1: "sold"}]


async def test_without_websockets_seats_are_polled_and_only_changes_told(
    server: FaultyServer, client: AsyncBooking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("booking_client.live.SEATS_POLLED_EVERY_S", 0.001)

    def seats(*pairs: tuple[int, str]) -> Answer:
        return good([{"id": f"d-{n}", "seatNumber": n, "price": 1, "state": s} for n, s in pairs])

    server.plan = [
        seats((1, "available"), (2, "sold")),
        seats((1, "available"), (2, "sold")),
        seats((1, "held"), (2, "sold")),
    ]
    assert await states(client, 2) == [{1: "available", 2: "sold"}, {1: "held"}]
    assert server.asked[-1].query == {"concertScheduleId": "d", "all": "true"}


async def test_who_may_not_see_the_seats_is_told_why(
    server: FaultyServer, client: AsyncBooking
) -> None:
    server.plan = [problem("not_admitted", 403)]
    with pytest.raises(errors.NotAdmitted):
        await states(client, 1)
