"""Plans of venues: numbers, labels, neighbours, places, and how little memory they take."""

from __future__ import annotations

import tracemalloc
from math import dist, hypot
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from booking.catalogue.venue import SEATS_MAX, VenueEntry, checked, row_names
from booking.domain.plan import FLAGS, Plan

CATEGORIES = [
    {"id": "best", "name": "Best", "colour": "#aa0000"},
    {"id": "rest", "name": "Rest", "colour": "#00AA00"},
]


def a_venue(*sections: dict[str, Any], **changes: Any) -> VenueEntry:
    venue = {
        "id": "hall", "name": "Hall", "city": "Seoul", "timeZone": "Asia/Seoul",
        "categories": CATEGORIES, "sections": list(sections),
    }  # fmt: skip
    return msgspec.convert(venue | changes, VenueEntry)


def rows(**changes: Any) -> dict[str, Any]:
    return {"rows": "A-C", "seats": 8, "category": "best"} | changes


def a_plan(*sections: dict[str, Any]) -> Plan:
    plan, found = checked(a_venue(*sections))
    assert plan is not None, found
    return plan


def wrong(*sections: dict[str, Any], **changes: Any) -> list[str]:
    plan, found = checked(a_venue(*sections, **changes))
    assert plan is None
    return [f"{'.'.join(map(str, path))}: {message}" for path, message in found]


STALLS = {"name": "Stalls", "rows": [rows(aisles=[4]), rows(rows="D", seats=2, category="rest")]}
UNPLACED = {"row": "1", "label": "R", "category": "rest", "flags": ["accessible"]}
LEFT = UNPLACED | {"label": "L", "flags": ["companion"], "x": 0, "y": 5}
BOX = {"name": "Box", "seats": [LEFT, UNPLACED | {"x": 60, "y": 5}]}
FLOOR = {"name": "Floor", "standing": 30, "category": "rest"}


def test_seats_are_numbered_by_section_row_and_place() -> None:
    plan = a_plan(STALLS, BOX, FLOOR)
    assert plan.seats == 24 + 2 + 2 + 30
    told = [plan.seat(number) for number in (1, 8, 9, 26, 27, 28, 29, 58)]
    assert [(each.section, each.row, each.label, each.category) for each in told] == [
        ("Stalls", "A", "1", "best"),
        ("Stalls", "A", "8", "best"),
        ("Stalls", "B", "1", "best"),
        ("Stalls", "D", "2", "rest"),
        ("Box", "1", "L", "rest"),
        ("Box", "1", "R", "rest"),
        ("Floor", "", "1", "rest"),
        ("Floor", "", "30", "rest"),
    ]
    assert told[4].flags == ("companion",)
    for number in (0, 59, -1):
        with pytest.raises(KeyError):
            plan.seat(number)


def test_neighbours_sit_in_one_row_without_an_aisle_between() -> None:
    plan = a_plan(STALLS, FLOOR)
    assert [plan.neighbours(number) for number in (1, 2, 4, 5, 8, 9)] == [
        (2,), (1, 3), (3,), (6,), (7,), (10,),
    ]  # fmt: skip
    assert plan.neighbours(30) == (), "nobody sits in a standing area"
    assert [*plan.rows[0].stretches()] == [range(4), range(4, 8)]


def test_listed_seats_may_have_numbers_in_any_order() -> None:
    """As of a house that numbers its odd seats on the left."""
    seats = [
        {"row": "A", "label": str(label), "category": "best", "number": label, "aisle": label == 1}
        for label in (5, 3, 1, 2, 4, 6)
    ]
    plan = a_plan({"name": "Hall", "seats": seats})
    assert [plan.seat(number).label for number in range(1, 7)] == list("123456")
    assert [plan.neighbours(number) for number in (5, 1, 2)] == [(3,), (3,), (4,)]


def test_rows_may_grow_and_be_numbered_by_odd_labels() -> None:
    plan = a_plan({"name": "Hall", "rows": [rows(grow=2, labelStep=2, aisles=[4])]})
    assert [len(row.numbers) for row in plan.rows] == [8, 10, 12]
    assert [row.aisles for row in plan.rows] == [(4,), (5,), (6,)]
    assert [plan.seat(number).label for number in (1, 2, 8)] == ["1", "3", "15"]


def test_straight_rows_are_centred_and_lie_behind_each_other() -> None:
    plan = a_plan({"name": "Hall", "rows": [rows(aisles=[4], curve={"x": 10, "y": 200})]})
    first, second = plan.rows[:2]
    assert [first.point(at) for at in (0, 3, 4, 7)] == [
        (-232, 200),
        (-68, 200),
        (88, 200),
        (252, 200),
    ]
    assert second.point(0) == (-232, 290)


def test_curved_rows_keep_their_distances() -> None:
    curve = {"radius": 2000, "pitch": 50, "depth": 80, "angle": 45}
    plan = a_plan({"name": "Hall", "rows": [rows(seats=40, curve=curve)]})
    for back, row in enumerate(plan.rows):
        points = [row.point(at) for at in range(40)]
        assert None not in points
        assert all(abs(hypot(*point) - 2000 - 80 * back) < 1 for point in points if point)
        gaps = [dist(a, b) for a, b in zip(points[1:], points, strict=False) if a and b]
        assert all(48 < gap < 52 for gap in gaps)
        [left, right] = (point[0] for point in (points[0], points[-1]) if point)
        assert left < right, "from left to right as seen from the seats"


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({}, "sections.0: has rows, or seats, or standing room"),
        (STALLS | FLOOR, "sections.0: has rows, or seats, or standing room"),
        ({"rows": [rows(rows="A-")]}, "rows.0.rows: 'A-' is neither a row nor"),
        ({"rows": [rows(rows="C-A")]}, "rows.0.rows: 'C-A' ends before it begins"),
        ({"rows": [rows(rows="A-C,B")]}, "rows.0.rows: row 'B' is there twice"),
        ({"rows": [rows(), rows(rows="C")]}, "rows.1.rows: row 'C' is there twice"),
        ({"rows": [rows(category="gold")]}, "rows.0.category: there is no category 'gold'"),
        ({"rows": [rows(grow=-4)]}, "rows.0.grow: makes a row of 0 seats"),
        ({"rows": [rows(labelStep=0)]}, "rows.0.labelStep: makes no labels"),
        ({"rows": [rows(labelStep=-1)]}, "rows.0.labelStep: makes no labels"),
        ({"rows": [rows(aisles=[8])]}, "rows.0.aisles: do not lie one after the other"),
        ({"rows": [rows(aisles=[4, 2])]}, "rows.0.aisles: do not lie one after the other"),
        ({"rows": [rows(flags={"restricted": [9]})]}, "rows.0.flags.restricted: names a seat"),
        ({"rows": [rows(), rows(rows="D", first=20)]}, "sections: seat 20 is there twice"),
        ({"rows": [rows(first=2)]}, "sections: there is no seat 1"),
        ({"rows": [rows(rows="1-9999", seats=2000)]}, "rows.0: makes over 100000 seats"),
        ({"rows": [rows(rows="1-9999"), rows(rows="A-ZZ", seats=99)]}, "rows.1: makes over"),
        ({"rows": [rows(rows="1-9999,1-9999,1-9999")]}, "rows.0.rows: are over 20000 rows"),
        ({"standing": 5}, "sections.0.category: there is no category ''"),
        ({"seats": [LEFT, LEFT]}, "seats.1.label: row '1' has seat 'L' twice"),
        ({"seats": [UNPLACED, LEFT]}, "seats.0.x: not all of row '1' has a place"),
        ({"seats": [LEFT | {"category": "x"}]}, "seats.0.category: there is no category 'x'"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_plan_names_the_field(section: dict[str, Any], words: str) -> None:
    problems = wrong({"name": "S"} | section)
    assert any(words in each for each in problems), problems


@pytest.mark.parametrize("zone", ["", "Seoul", "asia/seoul", "../../etc/passwd", "Asia", "UTC+9"])
def test_a_zone_that_is_none_is_refused(zone: str) -> None:
    [problem] = wrong(FLOOR, timeZone=zone)
    assert problem.startswith("timeZone: ")


def test_names_may_not_stand_twice_in_a_house() -> None:
    assert wrong(FLOOR, FLOOR)[0] == "sections.1.name: 'Floor' is there twice"
    assert wrong(FLOOR, categories=CATEGORIES * 2)[0] == "categories.2.id: 'best' is there twice"
    assert wrong() == ["sections: are missing"]


def test_rows_are_named_as_people_write_them() -> None:
    assert row_names("Y-AB, 9-11") == ["Y", "Z", "AA", "AB", "9", "10", "11"]


def test_the_same_places_are_told_apart_from_others() -> None:
    plan = a_plan(STALLS, BOX)
    repainted = a_plan(
        {"name": "Stalls", "rows": [rows(category="rest"), rows(rows="D", seats=2)]}, BOX
    )
    assert plan.same_places(repainted), "categories and places may change, seats may not"
    renamed = a_plan({"name": "Stalls", "rows": [rows(), rows(rows="E", seats=2)]}, BOX)
    assert not plan.same_places(renamed)
    assert not plan.same_places(a_plan(STALLS))


def test_a_house_of_100_000_seats_takes_under_20_bytes_a_seat() -> None:
    """With its ledger, under 150 of them held, that is the size of a large date on its owner."""
    sections = [
        {
            "name": f"Block {n}",
            "rows": [rows(rows="1-40", seats=50, aisles=[25], curve={"radius": 900})],
        }
        for n in range(50)
    ]
    venue = a_venue(*sections)
    checked(venue)
    tracemalloc.start()
    try:
        plan, _ = checked(venue)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert plan is not None
    assert plan.seats == SEATS_MAX
    assert size < 20 * SEATS_MAX


# -- any plan --------------------------------------------------------------------------------------

WIDTHS = st.integers(1, 12)


@st.composite
def rule(draw: st.DrawFn, number: int) -> dict[str, Any]:
    width, count = draw(WIDTHS), draw(st.integers(1, 5))
    names = f"{number * 10 + 1}-{number * 10 + count}"
    aisles = (
        sorted(draw(st.sets(st.integers(1, max(1, width - 1)), max_size=2))) if width > 1 else []
    )
    flag = draw(st.sampled_from(FLAGS))
    return rows(
        rows=names,
        seats=width,
        grow=draw(st.integers(0, 2)),
        aisles=aisles,
        category=draw(st.sampled_from(["best", "rest"])),
        flags={flag: [width]} if draw(st.booleans()) else {},
        labelStep=draw(st.sampled_from([1, 2])),
        firstLabel=draw(st.integers(0, 9)),
    )


@st.composite
def section(draw: st.DrawFn, number: int) -> dict[str, Any]:
    name = f"S{number}"
    match draw(st.integers(0, 2)):
        case 0:
            return {"name": name, "standing": draw(WIDTHS), "category": "rest"}
        case 1:
            return {"name": name, "rows": [draw(rule(n)) for n in range(draw(st.integers(1, 3)))]}
        case _:
            places = draw(st.sets(st.tuples(st.integers(0, 3), st.integers(0, 30)), min_size=1))
            return {
                "name": name,
                "seats": [
                    {
                        "row": f"r{row}",
                        "label": str(label),
                        "category": draw(st.sampled_from(["best", "rest"])),
                        "aisle": draw(st.booleans()),
                    }
                    for row, label in draw(st.permutations(sorted(places)))
                ],
            }


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    return a_plan(*[draw(section(n)) for n in range(draw(st.integers(1, 4)))])


@given(plans())
def test_of_any_plan_every_seat_is_one_place_and_neighbours_are_mutual(plan: Plan) -> None:
    numbers = [number for row in plan.rows for number in row.numbers]
    assert sorted(numbers) == list(range(1, plan.seats + 1))
    for row in plan.rows:
        for at, number in enumerate(row.numbers):
            assert plan.find(number) == (row, at)
        assert len(set(map(str, row.labels))) == len(row.labels) == len(row.numbers)
        assert [at for stretch in row.stretches() for at in stretch] == list(
            range(len(row.numbers))
        )
    seats = [plan.seat(number) for number in range(1, plan.seats + 1)]
    assert len({(each.section, each.row, each.label) for each in seats}) == plan.seats
    for number in range(1, plan.seats + 1):
        for beside in plan.neighbours(number):
            assert number in plan.neighbours(beside)
            assert seats[beside - 1].row == seats[number - 1].row
    counts = plan.counts()
    assert counts.total() == plan.seats
    for category in ("best", "rest"):
        assert counts[category] == sum(each.category == category for each in seats)
