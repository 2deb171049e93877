"""Best available against a reference that looks at every seat."""

from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booking.domain.persistent import Prices
from booking.domain.plan import Category, Plan, Row, Section, Venue, plan_of
from booking.seats.domain.best import Hall, seating_of
from booking.seats.domain.ledger import CoolDown, Entry, Ledger, LedgerHold, Owner, ledger_of
from booking.seats.domain.order import Wish
from tests.support.scenario import T0

CATEGORIES = (Category("a", "A", "#000000"), Category("b", "B", "#111111"))
SECTIONS = (Section("stalls"), Section("balcony"), Section("floor", standing=True))


def row(
    section: int, first: int, categories: str, aisles: tuple[int, ...] = (), **more: Any
) -> Row:
    """A row of seats with these categories."""
    count = len(categories)
    return Row(
        section=section,
        name=str(first),
        numbers=more.pop("numbers", range(first, first + count)),
        labels=range(1, count + 1),
        categories=bytes("ab".index(each) for each in categories),
        flags=more.pop("flags", bytes(count)),
        aisles=aisles,
        **more,
    )


def hall(rows: list[Row], prices: dict[int, int] | None = None) -> Hall:
    """A date in a house with these rows."""
    plan = plan_of(CATEGORIES, SECTIONS, rows)
    venue = Venue("v", "V", "Seoul", "Asia/Seoul", plan, "mark")
    every = prices or dict.fromkeys(range(1, plan.seats + 1), 100)
    return made(venue, every)


def made(venue: Venue | None, prices: dict[int, int]) -> Hall:
    on_sale = Prices(sorted(prices.items()))
    return Hall(seating_of(venue, on_sale), on_sale)


def ledger(taken: str = "", **entries: Entry) -> Ledger:
    """Seats that are not free, by their numbers."""
    held: dict[int, Entry] = {int(each): Owner("bob") for each in taken.split()}
    return ledger_of(held | {int(key[1:]): entry for key, entry in entries.items()})


def best(hall: Hall, taken: str = "", *, quantity: int = 2, **wish: Any) -> list[int]:
    return sorted(hall.best(ledger(taken), Wish(quantity, **wish), "ann", T0))


ROW = [row(0, 1, "aaaaaaaaaa")]


@pytest.mark.parametrize(
    ("rows", "taken", "wish", "expected"),
    [
        pytest.param(ROW, "", {}, [5, 6], id="the middle of the row"),
        pytest.param(ROW, "5", {}, [6, 7], id="beside a taken one"),
        pytest.param(ROW, "4 8", {}, [9, 10], id="leaves nobody alone"),
        pytest.param(ROW, "4 8 9 10", {}, [5, 6], id="one alone either way"),
        pytest.param(ROW, "4 9", {}, [5, 6], id="leaves two, not one and one"),
        pytest.param([row(0, 1, "aaaaaaaaaa", (5,))], "", {}, [6, 7], id="not over an aisle"),
        pytest.param([row(0, 1, "aab"), row(0, 4, "bbb")], "", {}, [1, 2], id="the best category"),
        pytest.param([row(0, 1, "ab")], "", {}, [1, 2], id="over the border of a category"),
        pytest.param([row(0, 1, "aaa"), row(1, 4, "bbb")], "", {"category": "b"}, [5, 6], id="cat"),
        pytest.param([row(0, 1, "aaa"), row(1, 4, "aaa")], "", {"section": "balcony"}, [5, 6]),
        pytest.param(ROW, "2 4 6 8 10", {}, [], id="no two together"),
        pytest.param(ROW, "2 4 6 8 10", {"together": "prefer"}, [3, 5], id="near each other"),
        pytest.param(ROW, "2 4 6 8 10", {"together": False}, [5, 7], id="anywhere"),
        pytest.param(ROW, "5 6", {"quantity": 6, "together": "prefer"}, [3, 4, 7, 8, 9, 10]),
        pytest.param(ROW, "", {"quantity": 11, "together": False}, [], id="not that many"),
        pytest.param(ROW, "", {"category": "none"}, [], id="no such category"),
        pytest.param([row(2, 1, "aaaa")], "1 3", {}, [2, 4], id="a standing area is together"),
        pytest.param([row(0, 1, "aaaa", numbers=[4, 2, 3, 1])], "2", {}, [1, 3], id="any numbers"),
    ],
)  # fmt: skip
def test_the_best_seats(
    rows: list[Row], taken: str, wish: dict[str, Any], expected: list[int]
) -> None:
    assert best(hall(rows), taken, **wish) == expected


def test_seats_for_wheelchairs_are_kept_for_those_who_want_one() -> None:
    there = hall([row(0, 1, "aaaaaa", flags=bytes([0, 0, 1, 2, 0, 0]))])
    assert best(there) == [5, 6]
    assert best(there, accessible=True) == [3, 4]
    assert best(there, "1 2 5 6") == [3, 4]
    assert best(there, "3", accessible=True) == []


def test_only_seats_on_sale_that_cost_no_more() -> None:
    there = hall(ROW, {1: 50, 2: 50, 4: 100, 5: 200, 6: 100, 7: 100})
    assert best(there, max_price=100) == [6, 7]
    assert best(there, max_price=50) == [1, 2]
    assert best(there, max_price=49) == []
    assert best(there, quantity=3) == [4, 5, 6]


def test_a_seat_that_cools_down_from_the_user_is_not_chosen_for_them() -> None:
    resting = ledger(n5=CoolDown("ann", T0 + 1), n6=CoolDown("ann", T0), n7=CoolDown("bob", T0 + 9))
    there = hall(ROW)
    assert there.best(resting, Wish(2), "ann", T0) == (6, 7)
    assert there.best(resting, Wish(2), "bob", T0) == (5, 6)
    assert there.best(resting, Wish(2), "ann", T0 + 1) == (5, 6)


def test_a_date_without_a_plan_has_rows_of_ten() -> None:
    there = made(None, dict.fromkeys([*range(1, 26), 900_000_000], 10))
    assert best(there, quantity=10, together=True) == [*range(11, 21)]
    assert best(there, " ".join(map(str, range(2, 21))), quantity=2) == [24, 25]
    assert best(there, quantity=11) == []


# -- against a reference ---------------------------------------------------------------------------


def reference(plan: Plan, free: set[int], wanted: set[int], size: int) -> set[tuple[int, ...]]:
    """The groups of neighbours that may be chosen, by trying all of them: of the best categories
    that have one, without an orphan if there is one without, nearest to their middle."""

    def category(number: int) -> int:
        found, at = plan.find(number)
        return found.categories[at]

    def point(number: int) -> tuple[float, float]:
        found, at = plan.find(number)
        return (at - (len(found.numbers) - 1) / 2) * 55, plan.rows.index(found) * 90

    def orphaned(group: tuple[int, ...]) -> bool:
        beside = {b for each in group for b in plan.neighbours(each)} & free - set(group)
        return any(not (free - set(group)) & set(plan.neighbours(each)) for each in beside)

    groups = [
        tuple(found.numbers[at : at + size])
        for found in plan.rows
        for stretch in found.stretches()
        for at in range(stretch.start, stretch.stop - size + 1)
    ]
    for worst in range(len(CATEGORIES)):
        allowed = [g for g in groups if wanted.issuperset(g) and max(map(category, g)) <= worst]
        if not allowed:
            continue
        members = [n for n in range(1, plan.seats + 1) if category(n) == worst]
        middle = [sum(point(n)[axis] for n in members) / max(len(members), 1) for axis in (0, 1)]
        good = [g for g in allowed if not orphaned(g)] or allowed

        def distance(group: tuple[int, ...]) -> float:
            x, y = point(group[(size - 1) // 2])
            return (x - middle[0]) ** 2 + (y - middle[1]) ** 2  # noqa: B023 - called at once

        least = min(map(distance, good))
        return {g for g in good if distance(g) <= least + 1e-6}
    return {()}


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.text("ab", min_size=1, max_size=9), st.integers(0, 9)), min_size=1, max_size=4
    ),
    taken=st.sets(st.integers(1, 36)),
    dear=st.sets(st.integers(1, 36), max_size=6),
    size=st.integers(1, 4),
)
def test_the_choice_is_one_that_trying_all_groups_finds(
    rows: list[tuple[str, int]], taken: set[int], dear: set[int], size: int
) -> None:
    made_rows, first = [], 1
    for place, (categories, aisle) in enumerate(rows):
        aisles = (aisle,) if 0 < aisle < len(categories) else ()
        made_rows.append(row(place % 2, first, categories, aisles))
        first += len(categories)
    plan = plan_of(CATEGORIES, SECTIONS, made_rows)
    there = hall(made_rows, {n: 200 if n in dear else 100 for n in range(1, first)})
    free = {*range(1, first)} - taken
    given_ledger = ledger_of(
        {n: LedgerHold("r", "bob", T0) if n % 2 else Owner("bob") for n in taken}
    )
    chosen = there.best(given_ledger, Wish(size, max_price=150), "ann", T0)
    assert chosen in reference(plan, free, free - dear, size)
    for (together,) in product(("prefer", False)):
        split = there.best(given_ledger, Wish(size, max_price=150, together=together), "ann", T0)  # type: ignore[arg-type]
        assert len({*split}) == (size if len(free - dear) >= size else 0)
        assert free - dear >= {*split}
        if together == "prefer" and chosen:
            assert split == chosen
