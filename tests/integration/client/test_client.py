"""The client against the real service: the whole flow, in both forms."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import aclosing

import pytest

from booking_client import AsyncBooking, Booking, errors
from tests.support.catalogues import catalogue, concert, date
from tests.support.service import StartService


async def test_the_whole_flow(running_service: str) -> None:
    user = str(uuid.uuid4())
    async with AsyncBooking(running_service) as booking:
        token = (await booking.issue(user)).token
        *_, place = [each async for each in booking.watch(token)]
        assert place.active
        date = (await booking.dates(place.token))[0]
        assert [date] == [d for d in await booking.dates(place.token, date.concert_id) if d == date]
        plan = await booking.plan(date.id)
        assert (date.venue, date.city, date.time_zone) == (plan.name, plan.city, plan.time_zone)
        seat, other = (await booking.seats(place.token, date.id))[:2]
        held = await booking.reserve(place.token, seat.id)
        by_number = await booking.reserve_number(place.token, date.id, other.seat_number)
        assert await booking.reservation(place.token, held.id) == held or held.expires_in_seconds
        assert {r.id for r in await booking.reservations(place.token)} == {held.id, by_number.id}
        await booking.release(place.token, by_number.id)
        states = {s.id: s.state for s in await booking.seats(place.token, date.id, all_states=True)}
        assert states[seat.id] == "held"
        with pytest.raises(errors.InsufficientBalance):
            await booking.pay(place.token, seat.id)
        assert await booking.charge(user, held.price, key="once") == held.price
        assert await booking.charge(user, held.price, key="once") == held.price
        payment = await booking.pay(place.token, seat.id)
        assert payment.seat_number == seat.seat_number
        row = plan.sections[0].rows[0]
        where = (plan.sections[0].name, row.name, row.seats[0].label, row.seats[0].category)
        for told in (held.seat, payment):
            assert (told.section, told.row, told.label, told.category) == where
        assert await booking.payment(user, payment.id) == payment
        assert (await booking.payments_page(user)).items == [payment]
        assert [entry.type async for entry in booking.history(user)] == ["USE", "CHARGE"]
        assert await booking.balance(user) == 0
        with pytest.raises(errors.TokenExpired):
            await booking.status(place.token)


async def test_history_goes_on_over_all_pages(running_service: str) -> None:
    user = str(uuid.uuid4())
    async with AsyncBooking(running_service) as booking:
        for amount in range(1, 131):
            await booking.charge(user, amount)
        amounts = [entry.amount async for entry in booking.history(user)]
        assert amounts == list(range(130, 0, -1))


async def test_refusals_have_their_types(running_service: str) -> None:
    async with AsyncBooking(running_service) as booking:
        first = await booking.issue(str(uuid.uuid4()))
        second = await booking.issue(str(uuid.uuid4()))
        date = (await booking.dates(first.token))[0]
        seat = (await booking.seats(first.token, date.id))[0]
        await booking.reserve(first.token, seat.id)
        with pytest.raises(errors.SeatUnavailable):
            await booking.reserve(second.token, seat.id)
        with pytest.raises(errors.AlreadyQueued):
            await booking.issue(first.user_id)
        with pytest.raises(errors.Malformed, match="userId"):
            await booking.balance("nobody")
        with pytest.raises(errors.NotFound):
            await booking.reservation(second.token, "a/../b?c=d#e")
        with pytest.raises(errors.TokenInvalid):
            await booking.status("made-up")
        await booking.leave(second.token)
        await booking.leave(second.token)


async def test_the_blocking_form_does_the_same(running_service: str) -> None:
    def flow() -> None:
        user = str(uuid.uuid4())
        with Booking(running_service) as booking:
            place = booking.issue(user)
            assert [p.active for p in booking.watch(place.token)][-1]
            assert booking.status(place.token).active
            date = booking.dates(place.token)[0]
            seat, other = booking.seats(place.token, date.id)[:2]
            held = booking.reserve(place.token, seat.id)
            second = booking.reserve_number(place.token, date.id, other.seat_number)
            assert booking.reservation(place.token, second.id).seat == second.seat
            booking.release(place.token, second.id)
            assert len(booking.reservations(place.token)) == 2
            booking.charge(user, held.price)
            payment = booking.pay(place.token, seat.id)
            assert booking.payment(user, payment.id) == payment
            assert booking.payments_page(user).items == [payment]
            assert booking.history_page(user, limit=1).has_more
            assert [entry.type for entry in booking.history(user)] == ["USE", "CHARGE"]
            assert booking.balance(user) == 0
            booking.leave(booking.issue(user).token)

    await asyncio.to_thread(flow)


async def test_places_and_seats_are_pushed_as_they_change(start_service: StartService) -> None:
    """Over the real websockets: the second fan waits for the first, who then takes a seat."""
    service = await start_service(
        catalogue(concert("alpha", date("alpha-1"))), BOOKING_QUEUE_MAX_ACTIVE="1"
    )
    async with AsyncBooking(service.url) as booking:
        first = await booking.issue(str(uuid.uuid4()))
        second = await booking.issue(str(uuid.uuid4()))
        assert (first.active, second.active) == (True, False)
        async with aclosing(booking.watch_seats(first.token, "alpha-1")) as seats:
            assert len(await anext(seats)) == 50
            held = await booking.reserve_number(first.token, "alpha-1", 7)
            assert {n: each.state for n, each in (await anext(seats)).items()} == {7: "held"}
        async with aclosing(booking.watch(second.token)) as places:
            assert (await anext(places)).position == 1
            await booking.charge(first.user_id, held.price)
            await booking.pay(first.token, held.seat.id)
            *_, last = [place async for place in places]
        assert last.active
        with pytest.raises(errors.TokenExpired):
            await anext(booking.watch(first.token))
    numbers = bytes((await service.api.call("GET", "/metrics")).body).decode()
    for channel in ("queue", "seats"):
        assert f'booking_socket_pushes_total{{channel="{channel}"}} 0.0' not in numbers
