import tracemalloc
from array import array
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booking.catalogue.domain import Catalogue
from booking.domain import persistent
from booking.domain.decision import BrokenInvariantError
from booking.seats.domain.ledger import (
    EMPTY_LEDGER,
    TAKEN_MAX,
    CoolDown,
    Entry,
    HoldCounted,
    HoldUncounted,
    Ledger,
    LedgerEvent,
    LedgerHold,
    Owner,
    SaleCounted,
    changed_words,
    cool_down_left_ms,
    due_seats,
    entries_of,
    evolve_ledger,
    holds_of,
    ledger_next_wake,
    ledger_of,
    seats_of,
    word_of,
)
from booking.seats.entity import HoldRules, LedgerBehaviour
from tests.support.ledgers import cool_downs, holds, sold
from tests.support.scenario import T0, fold

THREE = fold(
    evolve_ledger,
    EMPTY_LEDGER,
    [
        HoldCounted(3, "c", "ann", T0 + 30),
        HoldCounted(1, "a", "ann", T0 + 10),
        HoldCounted(2, "b", "bob", T0 + 20),
    ],
)


def test_an_empty_ledger_wants_no_wake() -> None:
    assert ledger_next_wake(EMPTY_LEDGER) is None


def test_the_next_wake_is_the_first_end_even_if_a_shorter_hold_came_later() -> None:
    assert list(THREE.ends) == [(T0 + 10, 1), (T0 + 20, 2), (T0 + 30, 3)]
    assert ledger_next_wake(THREE) == T0 + 10


def test_due_seats_are_those_over_the_oldest_first_and_not_too_many() -> None:
    assert due_seats(THREE, T0 + 9, 10) == ()
    assert due_seats(THREE, T0 + 20, 10) == (1, 2)
    assert due_seats(THREE, T0 + 30, 2) == (1, 2)


def test_the_holds_of_a_user_follow_every_change() -> None:
    assert [hold.reservation for hold in holds_of(THREE, "ann")] == ["a", "c"]
    fewer = evolve_ledger(THREE, HoldUncounted(3, "c"))
    assert [hold.reservation for hold in holds_of(fewer, "ann")] == ["a"]
    none = evolve_ledger(fewer, SaleCounted(1, "a"))
    assert list(holds_of(none, "ann")) == []
    assert sold(none) == {1}
    assert list(seats_of(none, "ann")) == [(1, Owner("ann"))]


def test_a_rest_is_one_users_and_over_at_its_end() -> None:
    ledger = evolve_ledger(THREE, HoldUncounted(1, "a", T0 + 10, 5))
    assert [cool_down_left_ms(ledger, 1, "ann", T0 + at) for at in (10, 14, 15, 99)] == [5, 1, 0, 0]
    assert cool_down_left_ms(ledger, 1, "bob", T0 + 10) == 0
    assert cool_down_left_ms(ledger, 2, "ann", T0 + 10) == 0


def test_a_cool_down_stays_until_its_seat_is_held() -> None:
    ledger = evolve_ledger(THREE, HoldUncounted(1, "a", T0 + 10, 5))
    ledger = evolve_ledger(ledger, HoldUncounted(2, "b", T0 + 14, 5))
    assert cool_downs(ledger) == {1: CoolDown("ann", T0 + 15), 2: CoolDown("bob", T0 + 19)}
    ledger = evolve_ledger(ledger, HoldCounted(2, "d", "cid", T0))
    assert cool_downs(ledger) == {1: CoolDown("ann", T0 + 15)}


def test_a_sale_leaves_the_rests_of_other_seats_alone_and_none_of_its_own() -> None:
    ledger = evolve_ledger(THREE, HoldUncounted(1, "a", T0 + 10, 5))
    assert cool_downs(evolve_ledger(ledger, SaleCounted(2, "b"))) == cool_downs(ledger)


IDS = st.one_of(
    st.uuids().map(str),
    st.uuids().map(lambda number: f"rsv_{number.hex}"),
    st.sampled_from(["", "ann", "rsv_", "0" * 32, "0" * 36, "rsv_" + "A" * 32, "rsv_" + " 0" * 16]),
    st.text(max_size=40),
)


@given(IDS, IDS)
def test_what_is_packed_comes_out_to_the_letter(reservation: str, user: str) -> None:
    ledger = evolve_ledger(EMPTY_LEDGER, HoldCounted(1, reservation, user, T0))
    assert holds(ledger) == {1: LedgerHold(reservation, user, T0)}
    assert list(holds_of(ledger, user)) == [LedgerHold(reservation, user, T0)]
    ended = evolve_ledger(ledger, HoldUncounted(1, reservation, T0, 5))
    assert cool_downs(ended) == {1: CoolDown(user, T0 + 5)}


def test_users_with_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("booking.seats.domain.ledger.hash", lambda user: 7, raising=False)
    ledger = evolve_ledger(EMPTY_LEDGER, HoldCounted(1, "a", "ann", T0))
    ledger = evolve_ledger(ledger, HoldCounted(2, "b", "bob", T0))
    assert [hold.reservation for hold in holds_of(ledger, "bob")] == ["b"]


@pytest.mark.parametrize(
    "event",
    [
        HoldCounted(1, "x", "bob", T0),
        HoldUncounted(4, "x"),
        HoldUncounted(1, "b"),
        SaleCounted(4, "x"),
        SaleCounted(1, "b"),
    ],
)
def test_an_event_that_cannot_follow_crashes(event: LedgerEvent) -> None:
    with pytest.raises(BrokenInvariantError):
        evolve_ledger(THREE, event)


def test_a_sold_seat_is_not_held_again() -> None:
    sold = evolve_ledger(THREE, SaleCounted(1, "a"))
    with pytest.raises(BrokenInvariantError):
        evolve_ledger(sold, HoldCounted(1, "x", "bob", T0))


def taken_up(behaviour: LedgerBehaviour, ledger: Ledger) -> Ledger:
    """The ledger as its snapshot says, head and pages."""
    read = behaviour.decode_state(behaviour.encode_state(ledger))
    for number, page in behaviour.pages(ledger).items():
        assert read is not None
        read = behaviour.with_page(read, number, behaviour.encode_page(page))
    assert read is not None
    return read


def event_of(model: dict[int, Any], seat: int, what: str, after_ms: int) -> LedgerEvent | None:
    """An event that may follow, or ``None``."""
    known = model.get(seat)
    if what == "hold" and not isinstance(known, LedgerHold) and not isinstance(known, Owner):
        return HoldCounted(seat, f"r{seat}", f"u{after_ms % 3}", T0 + after_ms)
    if what == "hold" or not isinstance(known, LedgerHold):
        return None
    if what == "sell":
        return SaleCounted(seat, f"r{seat}")
    if after_ms % 2:
        return HoldUncounted(seat, f"r{seat}", T0 + after_ms, after_ms)
    return HoldUncounted(seat, f"r{seat}")


def follow(model: dict[int, Any], event: LedgerEvent) -> dict[int, Any]:
    """What a plain dict by seat says after the event: a hold, a cool-down, or an owner."""
    rest = {seat: entry for seat, entry in model.items() if seat != event.seat}
    match event:
        case HoldCounted(seat, reservation, user, until_ms):
            return {**rest, seat: LedgerHold(reservation, user, until_ms)}
        case HoldUncounted(seat, _, ended_ms, cool_down_ms):
            user = model[seat].user
            return {**rest, seat: CoolDown(user, ended_ms + cool_down_ms)} if cool_down_ms else rest
        case SaleCounted(seat):
            return {**rest, seat: Owner(model[seat].user)}


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.integers(1, 8), st.sampled_from([33, 1025, 99_999, 999_999_999])),
            st.sampled_from(["hold", "hold", "end", "sell"]),
            st.integers(0, 50),
        ),
        max_size=40,
    )
)
def test_a_ledger_says_what_a_plain_dict_says_and_older_ones_stand(
    steps: list[tuple[int, str, int]],
) -> None:
    ledger, model = EMPTY_LEDGER, dict[int, Any]()
    behaviour = LedgerBehaviour(lambda: Catalogue({}), HoldRules(1, 1, 1))
    versions = []
    for seat, what, after_ms in steps:
        event = event_of(model, seat, what, after_ms)
        if event is None:
            continue
        ledger, model = evolve_ledger(ledger, event), follow(model, event)
        versions.append((ledger, model))
    for ledger, model in versions:
        assert entries_of(ledger) == model
        held = {seat: hold for seat, hold in model.items() if isinstance(hold, LedgerHold)}
        assert list(ledger.ends) == sorted((hold.until_ms, seat) for seat, hold in held.items())
        for user in ("u0", "u1", "u2"):
            mine = [held[seat] for seat in sorted(held) if held[seat].user == user]
            assert list(holds_of(ledger, user)) == mine
            owned = {(n, entry) for n, entry in seats_of(ledger, user) if isinstance(entry, Owner)}
            assert owned == {(n, entry) for n, entry in model.items() if entry == Owner(user)}
        assert ledger.sold == sum(isinstance(entry, Owner) for entry in model.values())
        taken = [n for n, entry in model.items() if not isinstance(entry, CoolDown)]
        assert ledger.taken == sum(1 << n for n in taken if n < TAKEN_MAX)
        for seat, _, _ in steps:
            words: dict[type, str] = {LedgerHold: "held", Owner: "sold"}
            word = words.get(type(model.get(seat)), "available")
            assert word_of(ledger, seat) == word
        assert taken_up(behaviour, ledger) == ledger


def test_a_snapshot_of_the_version_before_is_read() -> None:
    older = {
        "holds": {3: ["c", "ann", T0 + 30]},
        "sold": [7, 8],
        "by_user": {"ann": [3]},
        "rests": {5: ["bob", T0]},
    }
    behaviour = LedgerBehaviour(lambda: Catalogue({}), HoldRules(1, 1, 1))
    ledger = behaviour.decode_state(msgspec.msgpack.encode(older))
    assert ledger is not None
    entries: dict[int, Entry] = {
        3: LedgerHold("c", "ann", T0 + 30),
        5: CoolDown("bob", T0),
        7: True,
        8: True,
    }
    assert entries_of(ledger) == entries
    del older["rests"]  # from before there were any
    assert behaviour.decode_state(msgspec.msgpack.encode(older)) == ledger_of(
        {seat: entry for seat, entry in entries.items() if seat != 5}
    )


def test_a_snapshot_of_another_shape_is_not_read() -> None:
    behaviour = LedgerBehaviour(lambda: Catalogue({}), HoldRules(1, 1, 1))
    assert behaviour.decode_state(msgspec.msgpack.encode(["ledger-4"])) is None
    assert behaviour.with_page(EMPTY_LEDGER, 0, msgspec.msgpack.encode([[None] * 32] * 31)) is None


def test_a_large_snapshot_without_pages_is_left_to_the_journal() -> None:
    """Reading it at once would stop the loop; events are read bit by bit."""
    holds = {seat: [f"rsv_{seat:032x}", str(UUID(int=seat)), T0] for seat in range(1, 5_000)}
    older = msgspec.msgpack.encode({"holds": holds, "sold": []})
    assert LedgerBehaviour(lambda: Catalogue({}), HoldRules(1, 1, 1)).decode_state(older) is None


# -- what a change costs ---------------------------------------------------------------------------


def copied(before: Any, after: Any) -> int:
    """How many places of lists and arrays are in ``after`` and not shared with ``before``."""
    known: set[int] = set()

    def walk(part: Any) -> int:
        if id(part) in known:
            return 0
        known.add(id(part))
        if isinstance(part, list | tuple):
            return len(part) + sum(map(walk, part))
        return len(part) if isinstance(part, array) else 0

    def parts(ledger: Ledger) -> list[Any]:
        return [ledger.seats._root, ledger.ends._chunks, ledger.users._chunks]

    for part in parts(before):
        walk(part)
    return sum(walk(part) for part in parts(after))


SALE = SaleCounted(3_000, "r3000")


@pytest.fixture(scope="module")
def large() -> Ledger:
    """100,000 seats held, but for seat 77,777."""
    held = {n: LedgerHold(f"r{n}", f"u{n}", T0 + n // 5) for n in range(1, 100_001) if n != 77_777}
    return ledger_of(held)


def test_no_change_copies_more_than_a_few_thousand_places_of_100_000(large: Ledger) -> None:
    """That is some microseconds; copying all of them was milliseconds."""
    events: list[LedgerEvent] = [
        HoldCounted(77_777, "r", "ann", T0 + 30_000),
        HoldUncounted(50_000, "r50000", T0, 5_000),
        SALE,
    ]
    for event in events:
        assert copied(large, evolve_ledger(large, event)) < 4_000


def test_one_change_leaves_all_pages_but_one_as_they_are(large: Ledger) -> None:
    """So the next snapshot writes one page of a hundred, of some tens of kilobytes."""
    behaviour = LedgerBehaviour(lambda: Catalogue({}), HoldRules(1, 1, 1))
    before, after = behaviour.pages(large), behaviour.pages(evolve_ledger(large, SALE))
    assert [number for number in after if after[number] is not before[number]] == [3_000 // 1024]
    assert max(len(behaviour.encode_page(page)) for page in after.values()) < 64 * 1024


def test_what_changed_is_found_without_a_look_at_the_rest(
    large: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    after = evolve_ledger(large, SaleCounted(3, "r3"))
    after = evolve_ledger(after, HoldUncounted(99_999, "r99999"))
    looked = []
    differing = persistent._differing

    def counted(new: Any, old: Any, level: int, number: int) -> Any:
        looked.append(number)
        return differing(new, old, level, number)

    monkeypatch.setattr(persistent, "_differing", counted)
    assert list(changed_words(large, after)) == [(3, "sold"), (99_999, "available")]
    assert len(looked) <= 8, "one path of nodes for each seat"


def test_a_held_seat_takes_less_than_150_bytes_a_sold_one_110() -> None:
    tracemalloc.start()
    try:
        ledger = EMPTY_LEDGER
        for seat in range(1, 10_001):
            reservation, user = f"rsv_{seat:032x}", str(UUID(int=seat))
            ledger = evolve_ledger(ledger, HoldCounted(seat, reservation, user, T0 + seat // 5))
        held_bytes, _ = tracemalloc.get_traced_memory()
        for seat in range(1, 10_001):
            ledger = evolve_ledger(ledger, SaleCounted(seat, f"rsv_{seat:032x}"))
        sold_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held_bytes < 150 * 10_000
    assert sold_bytes < 110 * 10_000
