"""The catalogue document: what is accepted, and how errors name line and field."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from math import hypot
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booking.catalogue import demo, document
from booking.catalogue.domain import SEATS_PER_DATE
from booking.catalogue.problems import DocumentError, walk
from booking.catalogue.venue import venue_of
from tests.support.documents import normal, to_catalogue


def a_date(**changes: Any) -> dict[str, Any]:
    date = {
        "id": "d-1",
        "open_at": "2026-12-24T19:00:00+09:00",
        "close_at": "2026-12-24T22:00:00+09:00",
        "booking_start": "2026-11-01T00:00:00Z",
        "booking_end": "2026-12-24T09:00:00.250Z",
        "price": 50_000,
    }
    return {name: value for name, value in {**date, **changes}.items() if value is not None}


def a_text(*dates: dict[str, Any], **changes: Any) -> bytes:
    concert = {"id": "c", "name": "Concert", "dates": list(dates), **changes}
    return json.dumps({"concerts": [concert]}, indent=1).encode()


def problems(text: bytes) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        document.parse(text)
    return [str(problem) for problem in caught.value.problems]


def test_a_date_has_fifty_seats_at_its_price_unless_it_says_otherwise() -> None:
    catalogue = to_catalogue(document.parse(a_text(a_date())), version=7)
    schedule = catalogue.schedules["d-1"]
    assert schedule.prices == dict.fromkeys(range(1, SEATS_PER_DATE + 1), 50_000)
    assert schedule.open_ms == 1_798_106_400_000
    assert schedule.booking_end_ms == 1_798_102_800_250
    assert (schedule.concert_name, catalogue.version) == ("Concert", 7)


def test_a_concert_is_behind_the_queue_of_the_house_unless_it_names_one() -> None:
    house, own = (
        document.parse(a_text(a_date(), **change)) for change in ({}, {"queue": "winter-1"})
    )
    assert to_catalogue(house).schedules["d-1"].queue == "main"
    assert to_catalogue(own).schedules["d-1"].queue == "winter-1"
    assert b'"queue"' not in document.encode(house)
    assert document.parse(document.encode(own)) == own
    assert normal(own).concerts[0].queue == "winter-1"
    [problem] = problems(a_text(a_date(), queue="Winter"))
    assert "concerts[0].queue" in problem


def test_listed_seats_have_their_own_numbers_and_prices() -> None:
    seats = [{"number": 7, "price": 9}, {"number": 3}]
    parsed = document.parse(a_text(a_date(seats=seats)))
    assert parsed.concerts[0].dates[0].prices() == {3: 50_000, 7: 9}


def test_dates_are_ordered_by_opening_time_and_id() -> None:
    later = "2026-12-24T21:00:00+09:00"
    dates = [a_date(id="z"), a_date(id="b", open_at=later), a_date(id="a")]
    assert list(to_catalogue(document.parse(a_text(*dates))).schedules) == ["a", "z", "b"]


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"price": "5"}, "price", "Expected `int | null`, got `str`"),
        ({"price": True}, "price", "Expected `int | null`"),
        ({"price": 1.0}, "price", "Expected `int | null`"),
        ({"price": -1}, "price", ">= 0"),
        ({"price": 10**9 + 1}, "price", "<= 1000000000"),
        ({"price": None}, "price", "is required"),
        ({"id": "Big"}, "id", "matching"),
        ({"id": "a-"}, "id", "matching"),
        ({"id": "a\n"}, "id", "matching"),
        ({"id": "x" * 41}, "id", "matching"),
        ({"id": None}, "id", "missing required field"),
        ({"open_at": "2026-12-24T19:00:00"}, "open_at", "timezone"),
        ({"open_at": "yesterday"}, "open_at", "RFC3339"),
        ({"open_at": "0001-01-01T00:00:00+09:00"}, "open_at", "years"),
        ({"close_at": "2026-12-24T19:00:00+09:00"}, "close_at", "not after open_at"),
        ({"booking_end": "2026-12-24T13:00:00.001Z"}, "booking_end", "after close_at"),
        ({"booking_end": "2026-11-01T00:00:00Z"}, "booking_end", "not after booking_start"),
        ({"totalSeats": 0}, "totalSeats", ">= 1"),
        ({"totalSeats": 100_001}, "totalSeats", "<= 100000"),
        ({"seats": []}, "seats", "length >= 1"),
        ({"seats": [{"number": 1}], "totalSeats": 2}, "totalSeats", "1 seats are listed"),
        ({"seats": [{"number": 1}, {"number": 1}]}, "seats[1].number", "listed twice"),
        ({"seats": [{"number": 0}]}, "seats[0].number", ">= 1"),
        ({"seats": [{"number": 1}], "price": None}, "seats[0].price", "is required"),
        ({"colour": "red"}, "colour", "unknown field"),
    ],
)
def test_an_error_names_its_line_and_field(changes: dict[str, Any], field: str, words: str) -> None:
    text = a_text(a_date(id="d-0"), a_date(**changes))
    [problem] = problems(text)
    line, path, message = problem.split(": ", 2)
    assert path == f"concerts[0].dates[1].{field}"
    assert words in message
    # The line is the field's own; a missing one is told at the object around it.
    named = text.decode().splitlines()[int(line.removeprefix("line ")) - 1]
    last = field.rpartition(".")[2]
    assert f'"{last}":' in named or named.strip() == "{"


def test_errors_in_several_dates_are_told_at_once_in_order_of_lines() -> None:
    text = a_text(a_date(price="x"), a_date(id="d-2"), a_date(id="!"), name="")
    assert [problem.split(": ")[1] for problem in problems(text)] == [
        "concerts[0].name",
        "concerts[0].dates[0].price",
        "concerts[0].dates[2].id",
    ]


def test_ids_may_stand_once_only() -> None:
    assert ["is in the document twice" in each for each in problems(a_text(a_date(), a_date()))]
    text = json.dumps({"concerts": [{"id": "c", "name": "x", "dates": []}] * 2}).encode()
    assert problems(text) == ["line 1: concerts[1].id: concert 'c' is in the document twice"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (b'{"concerts":\n [}', 2, "malformed"),
        (b'{"concerts":\n\n [', 3, "truncated"),
        (b"", 1, "truncated"),
        (b'{"concerts": [{"id": "c",\n"name": "\xff", "dates": []}]}', 2, "UTF-8"),
        (b"[" * 100_000, 1, ""),
        (b"[]", 1, "Expected `object`"),
        (b'{"concerts": [],\n"concerts": []}', 2, "written twice"),
        (b'{"concerts": NaN}', 1, "malformed"),
        (b'{"concerts": [], "more": 1}', 1, "unknown field"),
        (b'{"concerts": [{"id": "c", "name": "\\u0000", "dates": []}]}', 1, "matching"),
        (b'{"concerts": [{"id": "c", "name": "\\ud800", "dates": []}]}', 1, ""),
    ],
)
def test_a_text_that_is_no_document_is_refused_with_its_line(
    text: bytes, line: int, words: str
) -> None:
    first = problems(text)[0]
    assert first.startswith(f"line {line}: ")
    assert words in first


def test_a_document_over_the_limit_is_refused_before_it_is_read() -> None:
    assert "over" in problems(b" " * (document.DOCUMENT_BYTES_MAX + 1))[0]


def test_the_normal_form_means_the_same_and_is_stable() -> None:
    seats = [{"number": 2, "price": 5}, {"number": 1, "price": 5}]
    parsed = document.parse(a_text(a_date(seats=seats), a_date(id="d-2", totalSeats=3)))
    spelled = normal(parsed)
    assert to_catalogue(spelled) == to_catalogue(parsed)
    assert normal(document.parse(document.encode(spelled))) == spelled
    assert spelled.concerts[0].dates[0].total_seats == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


def paths(value: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [at]
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        found += [path for key, each in inner for path in paths(each, (*at, key))]
    return found


@given(JSON, st.sampled_from([None, 1]))
def test_the_scanner_finds_every_value_of_any_json_text(value: Any, indent: int | None) -> None:
    if not isinstance(value, dict | list):
        value = [value]
    text = json.dumps(value, indent=indent)
    walked = list(walk(text))
    assert sorted(map(str, paths(value))) == sorted(str(path) for path, _, _ in walked)
    assert not any(again for _, _, again in walked)
    lines = text.split("\n")
    for path, line, _ in walked:
        if path and isinstance(path[-1], str) and indent:
            assert lines[line - 1].lstrip().startswith(json.dumps(path[-1]) + ":")


# -- the demo season -------------------------------------------------------------------------------

NOW = datetime(2026, 5, 17, 15, 30, tzinfo=UTC)


def test_the_demo_season_has_halls_a_club_a_theatre_and_an_arena() -> None:
    season = document.check(demo.demo_catalogue(NOW))
    catalogue = to_catalogue(season)
    sizes = sorted(schedule.total_seats for schedule in catalogue.schedules.values())
    assert len(season.concerts) == 14
    assert sizes == [50] * 40 + [448] * 2 + [1_350] * 2 + [12_000]
    prices = {price for s in catalogue.schedules.values() for price in s.prices.values()}
    assert len(prices) > 10


def test_seats_of_the_demo_venues_do_not_lie_on_one_another() -> None:
    """Each is at least 40 cm from the next, in seats of one section and of others."""
    for venue in demo.demo_catalogue(NOW).venues:
        plan = venue_of(venue).plan
        rows = [row for row in plan.rows if not plan.sections[row.section].standing]
        points = {row.point(at) for row in rows for at in range(len(row.numbers))}
        cells: dict[tuple[int, int], list[tuple[int, int]]] = {}
        assert None not in points
        assert len(points) == sum(len(row.numbers) for row in rows)
        for x, y in filter(None, points):
            near = [
                cells.get((x // 40 + i, y // 40 + j), ()) for i in (-1, 0, 1) for j in (-1, 0, 1)
            ]
            assert all(hypot(x - a, y - b) >= 40 for cell in near for a, b in cell), (
                venue.id,
                x,
                y,
            )
            cells.setdefault((x // 40, y // 40), []).append((x, y))


def test_the_demo_season_is_bookable_now_and_for_two_months() -> None:
    season = demo.demo_catalogue(NOW)
    assert season == demo.demo_catalogue(NOW.replace(hour=0, minute=0))
    assert season != demo.demo_catalogue(NOW + timedelta(days=1))
    for days in (0, 30, 59):
        at_ms = int((NOW + timedelta(days=days)).timestamp() * 1000)
        for schedule in to_catalogue(season).schedules.values():
            assert schedule.bookable(at_ms)
