import re
from collections.abc import Iterator
from hashlib import shake_256
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booking.queue.domain.lots import Lots, draw
from booking.queue.domain.number_set import NumberSet
from tests.support.house import ROOT


@given(st.text(max_size=20), st.integers(1, 10**9), st.integers(1, 300))
def test_a_draw_gives_every_number_one_place_and_every_place_one_number(
    seed: str, first: int, count: int
) -> None:
    lots = Lots(seed, first, first + count - 1)
    numbers = range(first, first + count)
    assert sorted(lots.place(number) for number in numbers) == list(numbers)
    assert all(lots.number(lots.place(number)) == number for number in numbers)
    assert [number in lots for number in (first - 1, first, first + count)] == [False, True, False]


def test_anybody_can_repeat_a_draw_by_the_words_of_the_documents() -> None:
    stream = shake_256(b"c0ffee").digest(8 * 5)
    tickets = sorted((stream[8 * k : 8 * k + 8], 11 + k) for k in range(5))
    lots = draw("c0ffee", 11, 15)
    assert [lots.number(place) for place in range(11, 16)] == [number for _, number in tickets]


def test_the_program_in_the_documents_repeats_a_draw() -> None:
    page = (ROOT / "docs" / "explanation" / "queue.md").read_text(encoding="utf-8")
    [program] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    named: dict[str, Any] = {}
    exec(program, named)
    lots = draw("c0ffee", 11, 300)
    assert named["drawn"]("c0ffee", 11, 300) == [lots.number(place) for place in range(11, 301)]


def test_every_order_is_as_likely_as_any_other() -> None:
    counts = dict.fromkeys(permutations((1, 2, 3, 4)), 0)
    for seed in range(4_800):
        lots = Lots(f"seed {seed}", 1, 4)
        counts[lots.number(1), lots.number(2), lots.number(3), lots.number(4)] += 1
    # 200 of each expected, standard deviation 14.
    assert all(130 < count < 270 for count in counts.values())


def test_draws_with_the_same_terms_are_equal_and_only_those() -> None:
    assert draw("a", 1, 3) == Lots("a", 1, 3)
    assert len({draw("a", 1, 3), Lots("a", 1, 3), draw("b", 1, 3), draw("a", 2, 3)}) == 3
    other: object = "a"
    assert draw("a", 1, 3) != other


def test_a_draw_of_very_many_is_worked_out_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a draw of 100,000, when it is worked out ahead, then no piece puts more than some
    hundreds of numbers in order, and the draw is the one that its questions give one by one."""
    together = list[int]()
    offsets = Lots._offsets

    def counted(lots: Lots, top: int) -> Iterator[int]:
        found = list(offsets(lots, top))
        together.append(len(found))
        return iter(found)

    monkeypatch.setattr(Lots, "_offsets", counted)
    ahead, asked = Lots("seed", 7, 100_006), Lots("seed", 7, 100_006)
    for pieces, _ in enumerate(ahead.work()):
        assert len(together) <= pieces
    assert ahead.done
    assert list(ahead.work()) == []
    assert sum(together) == 100_000
    assert max(together) < 600
    some = range(7, 100_007, 997)
    assert [ahead.place(n) for n in some] == [asked.place(n) for n in some]
    assert [ahead.number(n) for n in some] == [asked.number(n) for n in some]


@given(st.lists(st.sampled_from("abq"), max_size=300))
def test_several_may_work_a_draw_out_at_once(turns: list[str]) -> None:
    """In whatever order they take turns, and whoever asks meanwhile, the draw is the same."""
    lots = Lots("seed", 1, 40)
    work = {name: lots.work() for name in "ab"}
    for turn in turns:
        if turn == "q":
            assert lots.number(lots.place(7)) == 7
        else:
            next(work[turn], None)
    expected = [Lots("seed", 1, 40).number(place) for place in range(1, 41)]
    assert [lots.number(place) for place in range(1, 41)] == expected


def test_a_question_before_the_work_is_done_orders_only_what_it_needs() -> None:
    lots = Lots("seed", 1, 100_000)
    assert lots.number(lots.place(5)) == 5
    assert len(lots._sorted) == 1
    assert not lots.done


@given(st.sets(st.integers(1, 200), max_size=60), st.integers(1, 100), st.integers(1, 100))
def test_who_left_before_the_draw_is_passed_at_the_place_drawn(
    left: set[int], first: int, count: int
) -> None:
    lots = Lots("seed", first, first + count - 1)
    moved = lots.moved(NumberSet().with_all(left))
    assert set(moved) == {lots.place(n) if n in lots else n for n in left}
