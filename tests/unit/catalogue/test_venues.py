"""Dates with a venue and with blocked seats, in the document and as the domain knows them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booking.catalogue import document
from booking.catalogue.contract import CatalogueSaved
from booking.catalogue.domain import Block, Catalogue, Schedule, blocking, since, spans
from booking.catalogue.problems import DocumentError
from booking.catalogue.store import CatalogueError
from booking.domain.persistent import Prices
from tests.support.documents import normal, to_catalogue
from tests.support.twins.catalogue import MemoryCatalogue
from tests.unit.catalogue.test_document import a_date

VENUE: dict[str, Any] = {
    "id": "hall",
    "name": "Hall",
    "city": "Seoul",
    "timeZone": "Asia/Seoul",
    "categories": [
        {"id": "best", "name": "Best", "colour": "#aa0000"},
        {"id": "rest", "name": "Rest", "colour": "#00aa00"},
    ],
    "sections": [
        {"name": "Stalls", "rows": [{"rows": "A-B", "seats": 5, "category": "best"}]},
        {"name": "Floor", "standing": 10, "category": "rest"},
    ],
}
PRICES = {"best": 90_000, "rest": 40_000}


def at_the_hall(**changes: Any) -> dict[str, Any]:
    return a_date(**{"venue": "hall", "price": None, "prices": PRICES} | changes)


def a_text(*dates: dict[str, Any], venues: list[dict[str, Any]] | None = None) -> bytes:
    concerts = [{"id": "c", "name": "Concert", "dates": list(dates)}]
    venues = [VENUE] if venues is None else venues
    return json.dumps({"venues": venues, "concerts": concerts}, indent=1).encode()


def problems(text: bytes) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        document.parse(text)
    return [str(problem) for problem in caught.value.problems]


def the_date(text: bytes) -> Schedule:
    return to_catalogue(document.parse(text)).schedules["d-1"]


def test_a_plan_that_is_far_too_large_is_told_once() -> None:
    """Two thousand sections of twenty million seats each took half a minute to refuse."""
    rules = [{"rows": "1-9999", "seats": 2_000, "category": "best"}] * 3
    sections = [{"name": f"S{n}", "rows": rules} for n in range(2_000)]
    [told] = problems(a_text(venues=[VENUE | {"sections": sections}]))
    assert told.endswith("sections[0].rows[0]: makes over 100000 seats or 20000 rows")


def test_the_plan_says_which_seats_there_are_and_categories_what_they_cost() -> None:
    date = the_date(a_text(at_the_hall()))
    prices = dict.fromkeys(range(1, 11), 90_000) | dict.fromkeys(range(11, 21), 40_000)
    assert date.prices == prices
    assert (date.venue, date.total_seats) == ("hall", 20)
    one_price = the_date(a_text(at_the_hall(prices={"rest": 1}, price=7)))
    assert (one_price.prices[1], one_price.prices[20]) == (7, 1)


def test_the_catalogue_tells_where_a_seat_is() -> None:
    catalogue = to_catalogue(document.parse(a_text(at_the_hall(), a_date(id="plain"))))
    seat = catalogue.planned_seat("d-1", 7)
    assert seat is not None
    assert (seat.section, seat.row, seat.label, seat.category) == ("Stalls", "B", "2", "best")
    assert catalogue.planned_seat("d-1", 21) is None
    assert catalogue.planned_seat("plain", 7) is None
    assert catalogue.planned_seat("gone", 7) is None


def test_blocked_seats_are_the_dates_and_not_for_sale() -> None:
    blocked = [{"seats": "1-3,10-11", "reason": "house"}, {"seats": "20", "reason": "camera"}]
    date = the_date(a_text(at_the_hall(blocked=blocked)))
    assert date.blocked == (
        Block(1, 3, 90_000, "house"),
        Block(10, 10, 90_000, "house"),
        Block(11, 11, 40_000, "house"),
        Block(20, 20, 40_000, "camera"),
    )
    assert [*date.prices] == [*range(4, 10), *range(12, 20)]
    assert (date.total_seats, date.all_seats) == (14, 20)
    assert date.has(2)
    assert not date.has(21)
    catalogue = Catalogue({"d-1": date})
    assert catalogue.find_seat("d-1-2") == (date, 2), "who holds it already may pay for it"


@pytest.mark.parametrize(
    "date",
    [
        at_the_hall(),
        at_the_hall(blocked=[{"seats": "1-3,10-11", "reason": "house"}]),
        at_the_hall(prices=None, price=5),
        at_the_hall(prices=None, seats=[{"number": n, "price": n} for n in range(1, 21)]),
        a_date(blocked=[{"seats": "1-50", "reason": "not yet"}]),
        a_date(seats=[{"number": 7}, {"number": 9}], blocked=[{"seats": "9", "reason": "house"}]),
    ],
)
def test_the_normal_form_of_a_document_means_the_same(date: dict[str, Any]) -> None:
    parsed = document.parse(a_text(date))
    spelled = normal(parsed)
    assert document.parse(document.encode(spelled)) == spelled == normal(spelled)
    assert to_catalogue(spelled) == to_catalogue(parsed)


def test_a_document_without_venues_is_spelled_as_it_always_was() -> None:
    spelled = document.encode(normal(document.parse(a_text(a_date(), venues=[]))))
    [concert] = json.loads(spelled)["concerts"]
    assert json.loads(spelled).keys() == {"concerts"}
    assert concert["dates"][0].keys() == a_date().keys() | {"totalSeats"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prices": {"best": 1}}, "prices: have none for the category 'rest'"),
        ({"prices": {**PRICES, "gold": 1}}, "prices.gold: there is no category 'gold'"),
        ({"prices": None}, "price: is required unless every seat has its own"),
        ({"prices": {"best": -1}}, "prices"),
        ({"totalSeats": 21}, "totalSeats: is 21, but the plan has 20 seats"),
        ({"prices": None, "seats": [{"number": 1, "price": 1}]}, "seats: are not those of the"),
        ({"venue": None}, "price: is required"),
        ({"venue": None, "price": 1}, "prices: are by category, which needs a venue"),
        ({"blocked": [{"seats": "0", "reason": "x"}]}, "blocked[0].seats: 0 is not a seat"),
        ({"blocked": [{"seats": "19-21", "reason": "x"}]}, "blocked[0].seats: 21 is not a seat"),
        ({"blocked": [{"seats": "1-", "reason": "x"}]}, "blocked[0].seats: '1-' is neither"),
        ({"blocked": [{"seats": "3-1", "reason": "x"}]}, "blocked[0].seats: '3-1' is neither"),
        ({"blocked": [{"seats": "1-999999999", "reason": "x"}]}, "seats: names over 100000"),
        ({"blocked": [{"seats": "1", "reason": ""}]}, "blocked[0].reason"),
        (
            {"blocked": [{"seats": "1-5", "reason": "x"}, {"seats": "5", "reason": "y"}]},
            "blocked[1].seats: 5 is blocked twice",
        ),
    ],
)
def test_what_is_wrong_with_such_a_date_names_line_and_field(
    changes: dict[str, Any], words: str
) -> None:
    found = problems(a_text(at_the_hall(**changes)))
    assert any(words in each and each.startswith("line ") for each in found), found


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"timeZone": "Seoul"}, "venues[0].timeZone: 'Seoul' is no time zone"),
        ({"categories": []}, "venues[0].categories"),
        ({"categories": [{"id": "best", "name": "B", "colour": "red"}]}, "categories[0].colour"),
        ({"sections": [{"name": "S", "seats": [{"row": "A"}]}]}, "sections[0].seats[0].label"),
        ({"sections": [{"name": "S", "standing": 100_001}]}, "sections[0].standing"),
        ({"sections": []}, "venues[0].sections: are missing"),
        ({"colour": "#123456"}, "venues[0].colour"),
    ],
)
def test_what_is_wrong_with_a_venue_names_line_and_field(
    changes: dict[str, Any], words: str
) -> None:
    [problem] = problems(a_text(venues=[VENUE | changes]))
    assert words in problem
    assert problem.startswith("line ")


def test_a_venue_may_not_be_there_twice() -> None:
    assert "venue 'hall' is in the document twice" in problems(a_text(venues=[VENUE, VENUE]))[0]


# -- importing -------------------------------------------------------------------------------------


async def saved(text: bytes, into: MemoryCatalogue) -> CatalogueSaved:
    return await into.save(text)


async def test_a_date_may_name_a_venue_that_was_imported_before() -> None:
    """And what contradicts that venue is told as what contradicts the bookings is."""
    store = MemoryCatalogue(Catalogue({}))
    await store.save(a_text())
    await store.save(a_text(at_the_hall(), venues=[]))
    assert store.current.schedules["d-1"].total_seats == 20
    for date, words in (
        (at_the_hall(venue="barn"), "date 'd-1': venue: there is no venue 'barn'"),
        (at_the_hall(prices={"best": 1}), "date 'd-1': prices: have none for the category 'rest'"),
    ):
        with pytest.raises(CatalogueError, match=words):
            await store.save(a_text(date, venues=[]))


async def test_a_plan_may_not_leave_a_date_with_other_seats() -> None:
    store = MemoryCatalogue(Catalogue({}), booked=lambda date: True)
    await store.save(a_text(at_the_hall()))
    larger = VENUE | {"sections": [*VENUE["sections"], VENUE["sections"][1] | {"name": "More"}]}
    text = json.dumps({"venues": [larger], "concerts": []}).encode()
    with pytest.raises(CatalogueError, match="has 30 seats now, and date 'd-1', which is not in"):
        await store.save(text)
    # Nor a booked one with other places for its seats, while colours and categories may change.
    renamed = VENUE | {"sections": [VENUE["sections"][0] | {"name": "X"}, VENUE["sections"][1]]}
    with pytest.raises(CatalogueError, match="seat numbers cannot change"):
        await store.save(a_text(at_the_hall(), venues=[renamed]))
    painted = [VENUE["categories"][0] | {"colour": "#000000"}, VENUE["categories"][1]]
    assert (await store.save(a_text(at_the_hall(), venues=[VENUE | {"categories": painted}]))).dates
    assert store.current.venues["hall"].plan.categories[0].colour == "#000000"


# -- blocking --------------------------------------------------------------------------------------

DATE = Schedule("d", "c", "C", 3, 4, 1, 2, Prices((n, 10 * (n // 8)) for n in range(1, 31)))
NUMBERS = st.sets(st.integers(1, 30))


@given(st.lists(st.tuples(NUMBERS, st.sampled_from(["", "house", "camera"])), max_size=6))
def test_any_blocking_and_opening_keeps_every_seat_and_its_price(
    steps: list[tuple[set[int], str]],
) -> None:
    date, reasons, began = DATE, dict.fromkeys(range(1, 31), ""), dict.fromkeys(range(1, 31), 0)
    for now_ms, (numbers, reason) in enumerate(steps, 1):
        date = blocking(date, numbers, reason, now_ms)
        for number in numbers:
            began[number] = (began[number] or now_ms) if reason else 0
            reasons[number] = reason
    seats = {n: b for b in date.blocked for n in b.numbers}
    assert {n: b.reason for n, b in seats.items()} == {n: r for n, r in reasons.items() if r}
    assert {n: b.since_ms for n, b in seats.items()} == {n: ms for n, ms in began.items() if ms}
    assert dict(date.prices) | {n: b.price for n, b in seats.items()} == dict(DATE.prices)
    assert not seats.keys() & date.prices.keys()
    assert date.same_seats(DATE)
    assert date.all_seats == 30
    assert since(blocking(DATE, seats, "house"), date, 99).blocked == tuple(
        Block(b.first, b.last, b.price, "house", b.since_ms)
        for b in blocking(date, seats, "house").blocked
    )


def test_seats_are_named_as_people_write_them() -> None:
    assert [*spans("1-3, 7,9-9")] == [1, 2, 3, 7, 9]
    for text in ("", "-", "1,,2", "x", "1-2-3", "1" * 5000, "²", "1-100001"):
        with pytest.raises(ValueError, match=r"is neither|names over"):
            spans(text)


def test_a_seat_that_a_date_does_not_have_cannot_be_blocked() -> None:
    with pytest.raises(KeyError):
        blocking(DATE, [31], "house")


def test_a_moment_of_the_document_stays_as_it_was_written() -> None:
    date = the_date(a_text(at_the_hall()))
    assert document.moments(date)[0] == datetime(2026, 12, 24, 10, tzinfo=UTC)
