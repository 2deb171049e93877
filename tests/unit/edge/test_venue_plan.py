"""GET /concert/venue-plan, and where a seat is in what else is answered."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from booking.catalogue.domain import Catalogue, blocking
from booking.catalogue.venue import venue_of
from booking.domain.persistent import Prices
from booking_http.catalogue.plan import PlanSection, VenuePlan
from tests.support.edge import ALICE, BOB, Edge, running
from tests.support.instance import Instance, catalogue, schedule
from tests.unit.domain.test_plan import BOX, FLOOR, STALLS, a_venue, rows

PLAN = "/concert/venue-plan?concertScheduleId=d1"
SEATS = "/concert/available-seats?concertScheduleId=d1"


def a_catalogue(*sections: dict[str, Any], blocked: str = "", version: int = 1) -> Catalogue:
    """The dates d1 and d2 in one hall, and d3 nowhere."""
    venue = venue_of(a_venue(*(sections or (STALLS, BOX, FLOOR))))
    prices = Prices((number, 5) for number in range(1, venue.plan.seats + 1))
    dates = [schedule(name, prices=prices, venue="hall") for name in ("d1", "d2")]
    dates[0] = blocking(dates[0], map(int, filter(None, blocked.split(","))), "house")
    made = catalogue(*dates, schedule("d3"), version=version)
    return msgspec.structs.replace(made, venues={"hall": venue})


async def test_a_plan_has_sections_rows_and_seats_and_needs_no_token() -> None:
    async with running(Instance(a_catalogue())) as edge:
        answer = await edge("GET", PLAN)
        assert answer.status == 200
        plan = msgspec.convert(answer.data, VenuePlan)
        assert (plan.name, plan.city, plan.timeZone, plan.totalSeats) == (
            "Hall", "Seoul", "Asia/Seoul", 58,
        )  # fmt: skip
        assert answer.data["categories"][0] == {"id": "best", "name": "Best", "colour": "#aa0000"}
        stalls, box, floor = answer.data["sections"]
        assert [(row["name"], row["aisles"]) for row in stalls["rows"]] == [
            ("A", [4]), ("B", [4]), ("C", [4]), ("D", []),
        ]  # fmt: skip
        assert stalls["rows"][1]["seats"][0] == {
            "seatNumber": 9, "label": "1", "category": "best",
        }  # fmt: skip
        assert box["rows"][0]["seats"][1] == {
            "seatNumber": 28, "label": "R", "category": "rest", "x": 60, "y": 5,
            "flags": ["accessible"],
        }  # fmt: skip
        assert floor == {
            "name": "Floor",
            "standing": {"capacity": 30, "firstNumber": 29, "category": "rest"},
        }


async def test_a_large_plan_in_parts_reads_as_a_whole_compressed_or_not() -> None:
    sections = [{"name": f"S{n}", "rows": [rows(rows="1-30", seats=40)]} for n in range(3)]
    async with running(Instance(a_catalogue(*sections, FLOOR, BOX))) as edge:
        packed = await edge("GET", PLAN)
        assert packed.headers["Content-Encoding"] == "gzip"
        plain = await edge("GET", PLAN, headers={"Accept-Encoding": "identity"})
        assert plain.json == packed.json
        found = msgspec.convert(plain.data["sections"], list[PlanSection])
        numbers = [
            seat.seatNumber
            for section in found
            if section.rows
            for row in section.rows
            for seat in row.seats
        ]
        assert numbers == [*range(1, 3_601), 3_631, 3_632]


async def test_a_plan_is_made_once_for_all_dates_and_sent_once_to_each_client() -> None:
    instance = Instance(a_catalogue())
    async with running(instance) as edge:
        first = await edge("GET", PLAN)
        assert first.headers["Cache-Control"] == "no-cache"
        other_date = await edge("GET", PLAN.replace("d1", "d2"))
        assert other_date.headers["ETag"] == first.headers["ETag"]
        again = await edge("GET", PLAN, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status, again.body) == (304, b"")
        instance.use(a_catalogue(STALLS, BOX, version=2))
        changed = await edge("GET", PLAN, headers={"If-None-Match": first.headers["ETag"]})
        assert (changed.status, changed.data["totalSeats"]) == (200, 28)


@pytest.mark.parametrize("date", ["d3", "nope"])
async def test_a_date_without_a_plan_has_none(date: str) -> None:
    async with running(Instance(a_catalogue())) as edge:
        answer = await edge("GET", PLAN.replace("d1", date))
        assert (answer.status, answer.code) == (404, "not_found")


async def test_dates_tell_where_they_are_and_what_the_clocks_there_say() -> None:
    async with running(Instance(a_catalogue())) as edge:
        token = await edge.enter(ALICE)
        one, _, nowhere = (await edge("GET", "/concert/available-dates", token=token)).data
        assert one["open_at"] == "2027-02-14T08:00:00.000Z"
        assert {name: one[name] for name in ("venue", "city", "timeZone", "localTime")} == {
            "venue": "Hall",
            "city": "Seoul",
            "timeZone": "Asia/Seoul",
            "localTime": "2027-02-14T17:00:00+09:00",
        }
        assert "venue" not in nowhere


async def test_reservations_and_payments_tell_where_the_seat_is() -> None:
    place = {"section": "Box", "row": "1", "label": "R", "category": "rest"}
    place |= {"flags": ["accessible"]}  # type: ignore[dict-item]
    async with running(Instance(a_catalogue())) as edge:
        token = await edge.enter(ALICE)
        await edge("POST", "/user/charge", {"userId": ALICE, "amount": 1_000})
        held = await edge("POST", "/reservation", {"seatId": "d1-28"}, token=token)
        assert held.data["seat"] == {
            "id": "d1-28", "isActive": False, "seatNumber": 28, **place,
        }  # fmt: skip
        await edge.hold(token, "d3-28")
        paid = await edge("POST", "/payment", {"seatId": "d1-28"}, token=token)
        assert place.items() <= paid.data.items()
        assert (paid.data["venue"], paid.data["timeZone"], paid.data["localTime"]) == (
            "Hall", "Asia/Seoul", "2027-02-14T17:00:00+09:00",
        )  # fmt: skip


# -- blocked seats ---------------------------------------------------------------------------------


async def test_a_blocked_seat_is_neither_listed_nor_counted_nor_held() -> None:
    async with running(Instance(a_catalogue(blocked="1,2,58"))) as edge:
        token = await edge.enter(ALICE)
        for target in (SEATS, f"{SEATS}&all=true"):
            listed = (await edge("GET", target, token=token)).data
            assert [seat["seatNumber"] for seat in listed] == [*range(3, 58)]
        date = (await edge("GET", "/concert/available-dates", token=token)).data[0]
        assert date["totalSeats"] == 55
        for body in ({"seatId": "d1-2"}, {"concertScheduleId": "d1", "seatNumber": 2}):
            refused = await edge("POST", "/reservation", body, token=token)
            assert (refused.status, refused.code) == (409, "seat_unavailable")
            assert refused.json["detail"] == "Seat 2 is not for sale."
        assert edge.instance.events("SeatHeld") == []


async def test_an_opened_seat_is_for_sale_and_one_blocked_while_held_can_be_paid(
    edge: Edge,
) -> None:
    dates = edge.instance.catalogue.current
    first, second = await edge.enter(ALICE), await edge.enter(BOB)
    await edge("POST", "/user/charge", {"userId": ALICE, "amount": 1_000_000})
    await edge.hold(first, "d1-1")
    blocked = blocking(dates.schedules["d1"], [1, 2], "house")
    edge.instance.use(catalogue(blocked, version=2))
    refused = await edge("POST", "/reservation", {"seatId": "d1-2"}, token=second)
    assert refused.code == "seat_unavailable"
    assert (await edge("POST", "/payment", {"seatId": "d1-1"}, token=first)).status == 201
    edge.instance.use(catalogue(blocking(blocked, [2], ""), version=3))
    await edge.hold(second, "d1-2")
    listed = (await edge("GET", SEATS, token=second)).data
    assert [seat["seatNumber"] for seat in listed] == [*range(3, 51)]
