"""GET /concert/available-dates and /concert/available-seats."""

from __future__ import annotations

from tests.support.edge import ALICE, BOB, Edge, eventually, running
from tests.support.instance import HOUR_MS, START_MS, Instance, catalogue, schedule

SEATS = "/concert/available-seats?concertScheduleId=d1"
DATES = "/concert/available-dates"


async def test_only_dates_that_can_be_booked_now_are_listed() -> None:
    dates = catalogue(
        schedule("d1", seats=3),
        schedule("later", booking_start_ms=START_MS + HOUR_MS),
        schedule("over", booking_end_ms=START_MS),
        schedule("d2", concert="c2"),
    )
    instance = Instance(dates, active_seconds=10 * 3_600)
    async with running(instance) as edge:
        token = await edge.enter(ALICE)
        everything = await edge("GET", DATES, token=token)
        assert [date["id"] for date in everything.data] == ["d1", "d2"]
        assert everything.data[0] == {
            "id": "d1",
            "concertId": "c1",
            "concertName": "Concert c1",
            "totalSeats": 3,
            "reservedSeats": 0,
            "open_at": "2027-02-14T08:00:00.000Z",
            "close_at": "2027-02-14T10:00:00.000Z",
        }
        one = await edge("GET", f"{DATES}?concertId=c2", token=token)
        assert [date["id"] for date in one.data] == ["d2"]
        instance.clock.advance(HOUR_MS)
        now = await edge("GET", DATES, token=token)
        assert [date["id"] for date in now.data] == ["d1", "later", "d2"]


async def test_reserved_seats_count_held_and_sold_and_expiry_gives_them_back(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    await edge("POST", "/user/charge", {"userId": ALICE, "amount": 1_000_000})
    await edge.hold(token, "d1-1")
    await edge.hold(token, "d1-2")
    assert (await edge("POST", "/payment", {"seatId": "d1-1"}, token=token)).status == 201
    assert (await edge("GET", DATES, token=token)).data[0]["reservedSeats"] == 2
    edge.instance.clock.advance(300_000)
    await eventually(lambda: bool(edge.instance.events("HoldExpired")))
    assert (await edge("GET", DATES, token=token)).data[0]["reservedSeats"] == 1


async def test_an_unknown_concert_is_not_found_and_one_without_dates_is_empty() -> None:
    instance = Instance(catalogue(schedule("over", booking_end_ms=START_MS)))
    async with running(instance) as edge:
        token = await edge.enter(ALICE)
        assert (await edge("GET", f"{DATES}?concertId=nope", token=token)).status == 404
        assert (await edge("GET", f"{DATES}?concertId=c1", token=token)).data == []


async def test_free_seats_are_listed_by_number(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    seats = (await edge("GET", SEATS, token=token)).data
    assert [seat["seatNumber"] for seat in seats] == list(range(1, 51))
    assert seats[0] == {"id": "d1-1", "seatNumber": 1, "price": 100_001}
    await edge.hold(token, "d1-1")
    await edge.hold(token, "d1-50")
    seats = (await edge("GET", SEATS, token=token)).data
    assert [seat["seatNumber"] for seat in seats] == list(range(2, 50))


async def test_every_seat_is_listed_with_its_state_when_asked(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    await edge("POST", "/user/charge", {"userId": ALICE, "amount": 1_000_000})
    await edge.hold(token, "d1-1")
    await edge.hold(token, "d1-2")
    await edge("POST", "/payment", {"seatId": "d1-2"}, token=token)
    seats = (await edge("GET", f"{SEATS}&all=true", token=token)).data
    assert [seat["state"] for seat in seats] == ["held", "sold"] + ["available"] * 48
    assert len((await edge("GET", f"{SEATS}&all=false", token=token)).data) == 48


async def test_a_sold_out_date_is_an_empty_list() -> None:
    async with running(Instance(catalogue(schedule("d1", seats=1)))) as edge:
        token = await edge.enter(ALICE)
        await edge.hold(token, "d1-1")
        answer = await edge("GET", SEATS, token=token)
        assert (answer.status, answer.data) == (200, [])


async def test_what_the_client_has_is_not_sent_again(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    for target in (SEATS, f"{SEATS}&all=true", DATES):
        first = await edge("GET", target, token=token)
        etag = first.headers["ETag"]
        for wanted in (etag, f'"other", W/{etag}', "*"):
            same = await edge("GET", target, token=token, headers={"If-None-Match": wanted})
            assert (same.status, same.body) == (304, b"")
            assert same.headers["ETag"] == etag
        assert first.headers["Cache-Control"] == "private, no-cache"
        other = await edge("GET", target, token=token, headers={"If-None-Match": '"other"'})
        assert other.status == 200


async def test_the_entity_tag_follows_the_content_not_the_version(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    before = (await edge("GET", SEATS, token=token)).headers["ETag"]
    reservation = await edge.hold(token, "d1-7")
    assert (await edge("GET", SEATS, token=token)).headers["ETag"] != before
    await edge("DELETE", f"/reservation/{reservation}", token=token)
    assert (await edge("GET", SEATS, token=token)).headers["ETag"] == before


async def test_a_changed_catalogue_changes_the_lists() -> None:
    instance = Instance(catalogue(schedule("d1", seats=2)))
    async with running(instance) as edge:
        token = await edge.enter(ALICE)
        await edge("GET", SEATS, token=token)
        await edge("GET", DATES, token=token)
        changed = schedule("d1", seats=3, concert_name="Renamed")
        instance.use(catalogue(changed, version=2))
        assert len((await edge("GET", SEATS, token=token)).data) == 3
        assert (await edge("GET", DATES, token=token)).data[0]["concertName"] == "Renamed"


async def test_an_unknown_date_is_not_found(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    target = "/concert/available-seats?concertScheduleId=nope"
    assert (await edge("GET", target, token=token)).code == "not_found"


async def test_nothing_is_shown_to_those_who_still_wait() -> None:
    instance = Instance(queue_max_active=1)
    async with running(instance) as edge:
        await edge.enter(ALICE)
        token = await edge.enter(BOB)
        for method, target, body in (
            ("GET", SEATS, None),
            ("GET", DATES, None),
            ("GET", "/reservations", None),
            ("GET", "/reservation/x", None),
            ("DELETE", "/reservation/x", None),
            ("POST", "/reservation", {"seatId": "d1-1"}),
            ("POST", "/payment", {"seatId": "d1-1"}),
        ):
            answer = await edge(method, target, body, token=token)
            assert (answer.status, answer.code) == (403, "not_admitted")
            assert answer.headers["Retry-After"] == "1"
            shown = {name: answer.json[name] for name in ("position", "ahead", "etaSeconds")}
            assert shown == {"position": 1, "ahead": 0, "etaSeconds": 0}
