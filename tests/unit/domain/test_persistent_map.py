import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booking.domain.persistent import PersistentSorted
from booking.domain.persistent_map import PersistentMap

KEYS = st.one_of(st.integers(-50, 10_000), st.text(max_size=3))
STEPS = st.lists(st.tuples(st.booleans(), KEYS, st.integers()), max_size=80)
PAIRS = st.tuples(st.integers(0, 30), st.integers(0, 30))
Steps = list[tuple[bool, int | str, int]]
Pair = tuple[int, int]


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_a_map_does_what_a_dict_does_and_older_versions_stay_as_they_were(steps: Steps) -> None:
    made: PersistentMap[int | str, int] = PersistentMap()
    model: dict[int | str, int] = {}
    history = []
    for step, (is_set, key, value) in enumerate(steps):
        if step % 20 == 0:
            history.append((made, dict(model)))
        if is_set:
            made = made.set(key, value)
            model[key] = value
        elif key in model:
            made = made.delete(key)
            del model[key]
        else:
            with pytest.raises(KeyError):
                made.delete(key)
        assert len(made) == len(model)
        assert made.get(key) == model.get(key)
        assert (key in made) == (key in model)
    history.append((made, model))
    for version, expected in history:
        assert dict(version.items()) == expected
        assert len(version) == len(expected)
        assert set(version) == expected.keys()


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(KEYS, st.integers(), max_size=40))
def test_a_map_is_rebuilt_from_its_items(model: dict[int | str, int]) -> None:
    made = PersistentMap.from_items(model.items())
    assert dict(made.items()) == model
    assert len(made) == len(model)
    grown: PersistentMap[int | str, int] = PersistentMap()
    for key, value in model.items():
        grown = grown.set(key, value)
    assert grown == made == PersistentMap.from_items(made.items())


def test_a_missing_key_is_an_error_or_the_default() -> None:
    made: PersistentMap[str, int] = PersistentMap()
    with pytest.raises(KeyError):
        made["a"]
    assert made.get("a", 3) == 3
    assert made.set("a", 1)["a"] == 1
    assert made == PersistentMap()
    assert made != made.set("a", 1)


def test_keys_with_one_hash_are_told_apart() -> None:
    low, high = 1, 1 + (2**61 - 1)  # equal hashes, by the modulus of integers' hashes
    assert hash(low) == hash(high)
    made = PersistentMap.from_items([(low, "low"), (high, "high")])
    assert list(made.delete(low).items()) == [(high, "high")]


@settings(max_examples=60, deadline=None)
@given(STEPS, st.data())
def test_any_version_can_be_changed_again_and_others_do_not_notice(
    steps: Steps, data: st.DataObject
) -> None:
    versions: list[tuple[PersistentMap[int | str, int], dict[int | str, int]]]
    versions = [(PersistentMap(), {})]
    for is_set, key, value in steps:
        made, model = data.draw(st.sampled_from(versions))
        if is_set:
            versions.append((made.set(key, value), {**model, key: value}))
        elif model:
            gone = data.draw(st.sampled_from(sorted(model, key=str)))
            rest = {k: v for k, v in model.items() if k != gone}
            versions.append((made.delete(gone), rest))
        for version, expected in versions:
            assert dict(version.items()) == expected
            assert len(version) == len(expected)
            assert version.get(key) == expected.get(key)


def test_a_version_kept_over_very_many_changes_can_be_read_and_let_go() -> None:
    kept = PersistentMap.from_items([(0, 7)])
    newest = kept
    for n in range(300_000):
        newest = newest.set(n, n)
    assert kept.get(0) == 7
    assert 1 not in kept
    assert len(kept) == 1
    del kept  # a chain of 300,000 versions goes with it
    assert len(newest) == 300_000


@settings(max_examples=60, deadline=None)
@given(st.lists(PAIRS, max_size=20), st.sets(PAIRS, max_size=600))
def test_many_pairs_added_at_once_are_as_if_added_one_by_one(
    before: list[Pair], added: set[Pair]
) -> None:
    made = PersistentSorted.from_items(before)
    pairs = sorted(added - set(before))
    extended = made.extended(pairs)
    assert list(extended) == sorted({*before, *pairs})
    assert len(extended) == len(list(extended))
    if pairs:
        with pytest.raises(ValueError, match="in the set"):
            extended.extended(pairs[-1:])


def test_a_long_run_added_at_once_is_cut_into_chunks() -> None:
    pairs = [(n, 0) for n in range(2_000)]
    made = PersistentSorted().extended(pairs[:1_000]).extended(pairs[1_000:])
    for pair in pairs[::2]:
        made = made.discard(pair)
    assert list(made) == pairs[1::2]


@settings(max_examples=70, deadline=None)
@given(st.lists(st.tuples(st.booleans(), PAIRS), max_size=80))
def test_a_sorted_set_does_what_a_sorted_list_of_a_set_does(steps: list[tuple[bool, Pair]]) -> None:
    made = PersistentSorted()
    model: set[Pair] = set()
    for is_add, pair in steps:
        if is_add == (pair in model):
            with pytest.raises(ValueError, match="in the set"):
                made.add(pair) if is_add else made.discard(pair)
        elif is_add:
            made, model = made.add(pair), model | {pair}
        else:
            made, model = made.discard(pair), model - {pair}
        assert list(made) == sorted(model)
        assert len(made) == len(model)
        assert made.first() == min(model, default=None)
        assert (pair in made) == (pair in model)
    assert made == PersistentSorted.from_items(model)


@pytest.mark.parametrize("order", ["up", "down", "inside out"])
def test_a_large_sorted_set_stays_sorted_whatever_the_order(order: str) -> None:
    pairs = [(n, n % 7) for n in range(2_000)]
    added = {
        "up": pairs,
        "down": pairs[::-1],
        "inside out": sorted(pairs, key=lambda pair: abs(pair[0] - 1_000)),
    }[order]
    made = PersistentSorted()
    for pair in added:
        made = made.add(pair)
    assert list(made) == pairs
    for pair in pairs[::3]:
        made = made.discard(pair)
    assert list(made) == [pair for n, pair in enumerate(pairs) if n % 3]
    for pair in list(made):
        made = made.discard(pair)
    assert list(made) == []
    assert made.first() is None
