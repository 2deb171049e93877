"""An array is a dict of whole numbers whose older versions stand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booking.domain.persistent import PAGE_KEYS, PersistentArray, page_items

KEYS = st.one_of(st.integers(0, 40), st.integers(0, 5_000), st.integers(0, 2**60 - 1))
STEPS = st.lists(st.tuples(KEYS, st.one_of(st.none(), st.integers(0, 3))), max_size=50)
Steps = list[tuple[int, int | None]]
Versions = list[tuple[PersistentArray[int], dict[int, int]]]


def versions_of(steps: Steps, data: st.DataObject) -> Versions:
    """Each made of any earlier one, with a plain dict that says the same."""
    versions: Versions = [(PersistentArray(), {})]
    for key, value in steps:
        array, model = data.draw(st.sampled_from(versions))
        rest = {known: old for known, old in model.items() if known != key}
        versions.append((array.set(key, value), rest if value is None else {**rest, key: value}))
    return versions


@settings(max_examples=60, deadline=None)
@given(STEPS, st.data())
def test_every_version_says_what_its_dict_says(steps: Steps, data: st.DataObject) -> None:
    for array, model in versions_of(steps, data):
        assert list(array.items()) == sorted(model.items())
        for key, _ in steps:
            assert array.get(key) == model.get(key)
            assert array.get(key + 1) == model.get(key + 1)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.data())
def test_the_difference_of_any_two_versions_is_that_of_their_dicts(
    steps: Steps, data: st.DataObject
) -> None:
    versions = versions_of(steps, data)
    (new, new_model), (old, old_model) = (data.draw(st.sampled_from(versions)) for _ in range(2))
    keys = new_model.keys() | old_model.keys()
    pairs = [(key, new_model.get(key), old_model.get(key)) for key in sorted(keys)]
    differing = [each for each in pairs if each[1] != each[2]]
    assert list(new.changed_since(old)) == differing
    assert (new == old) == (not differing)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.data())
def test_an_array_is_its_pages_and_a_page_changes_only_with_its_values(
    steps: Steps, data: st.DataObject
) -> None:
    array = PersistentArray[int]()
    for key, value in steps:
        before = array.pages()
        array = array.set(key, value)
        after = array.pages()
        others = before.keys() - {key // PAGE_KEYS}
        assert all(after[number] is before[number] for number in others)
    again = PersistentArray[int]()
    for number, page in array.pages().items():
        assert all(key // PAGE_KEYS == number for key, _ in page_items(number, page))
        again = again.with_page(number, page)
    assert again == array


@pytest.mark.parametrize("key", [-1, 2**60])
def test_a_key_out_of_range_has_no_value_and_takes_none(key: int) -> None:
    array = PersistentArray[int]().set(1, 1)
    assert array.get(key) is None
    with pytest.raises(IndexError):
        array.set(key, 1)
