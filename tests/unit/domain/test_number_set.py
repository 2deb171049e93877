from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booking.queue.domain.number_set import NumberSet

NUMBERS = st.one_of(st.integers(0, 20), st.integers(4080, 4110), st.integers(0, 20_000))


def _of(numbers: Iterable[int]) -> NumberSet:
    made = NumberSet()
    for number in numbers:
        made = made.with_all((number,))
    return made


@settings(max_examples=70, deadline=None)
@given(st.sets(NUMBERS, max_size=40), NUMBERS)
def test_it_does_what_a_set_does(model: set[int], probe: int) -> None:
    made = _of(model)
    assert list(made) == sorted(model)
    assert len(made) == len(model)
    assert (probe in made) == (probe in model)
    assert made.count_below(probe) == sum(number < probe for number in model)
    absent = probe
    while absent in model:
        absent += 1
    assert made.next_absent(probe) == absent
    rest = made.without_below(probe)
    assert list(rest) == sorted(number for number in model if number >= probe)
    assert len(rest) == len(list(rest))
    assert NumberSet(made.chunks()) == made


def test_a_number_is_added_once() -> None:
    with pytest.raises(ValueError, match="in the set"):
        _of([5]).with_all((5,))


def test_an_older_version_stays_as_it_was() -> None:
    old = _of([5])
    old.with_all((6,))
    old.without_below(10)
    assert list(old) == [5]


def test_whole_chunks_are_skipped() -> None:
    made = NumberSet((index, (1 << 4096) - 1) for index in range(25))
    assert len(made) == 102_400
    assert made.next_absent(1) == 102_400
    assert made.count_below(100_000) == 100_000


@settings(max_examples=70, deadline=None)
@given(st.sets(NUMBERS, max_size=40), NUMBERS, st.integers(0, 9_000), st.integers(1, 50))
def test_numbers_are_moved_among_themselves(
    model: set[int], first: int, count: int, step: int
) -> None:
    to = [(place + step) % count for place in range(count)]
    moved = _of(model).moved(first, to)
    there = range(first, first + count)
    assert list(moved) == sorted(first + to[n - first] if n in there else n for n in model)
    assert len(moved) == len(model)
