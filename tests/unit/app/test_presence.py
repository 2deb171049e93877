"""Who is taken for gone, and who never is."""

from __future__ import annotations

import pytest

from booking.queue.view import STALLED_AFTER_MS, PresenceBook

T0 = 1_800_000_000_000
IDLE_MS = 60_000
LOOK_MS = 5_000


class Owner:
    """A book that is looked at regularly, of a queue in which ``waiting`` wait."""

    def __init__(self, numbers: int) -> None:
        self.book = PresenceBook(T0)
        self.now_ms = T0
        self.last_number = numbers
        self.ended: set[int] = set()
        self.inside: dict[int, int] = {}

    def look(self) -> list[int]:
        since = self.awaited_since
        found = self.book.silent(self.now_ms, IDLE_MS, self.last_number, since)
        return [number for some in found for number in some]

    def awaited_since(self, number: int) -> int | None:
        return None if number in self.ended else self.inside.get(number, 0)

    def until(self, end_ms: int, seen: dict[int, int]) -> dict[int, int]:
        """Look until ``end_ms``, while each number of ``seen`` gives a sign every so many ms; when
        each was first found silent."""
        found: dict[int, int] = {}
        while self.now_ms < end_ms:
            self.now_ms += LOOK_MS
            for number, every_ms in seen.items():
                if (self.now_ms - T0) % every_ms < LOOK_MS:
                    self.book.seen(number, self.now_ms)
            for number in self.look():
                found.setdefault(number, self.now_ms - T0)
        return found


def test_only_who_gives_no_sign_within_the_limit_is_silent() -> None:
    owner = Owner(5)
    owner.look()
    found = owner.until(T0 + 300_000, {1: 5_000, 2: 33_000, 3: 58_000})
    assert set(found) == {4, 5}
    assert all(IDLE_MS < after <= IDLE_MS + 2 * LOOK_MS for after in found.values())


def test_coming_back_within_the_limit_keeps_the_place() -> None:
    owner = Owner(1)
    owner.look()
    assert owner.until(T0 + 55_000, {}) == {}
    owner.book.seen(1, owner.now_ms)
    assert owner.until(T0 + 115_000, {}) == {}
    assert owner.until(T0 + 130_000, {}) != {}


def test_who_has_just_joined_counts_as_seen() -> None:
    owner = Owner(1)
    owner.look()
    owner.until(T0 + 50_000, {})
    owner.last_number = 2
    assert set(owner.until(T0 + 100_000, {})) == {1}


def test_signs_of_other_instances_count() -> None:
    owner, elsewhere = Owner(200_000), PresenceBook(T0)
    owner.look()
    for _ in range(30):
        for number in (3, 77, 199_999):
            elsewhere.seen(number, owner.now_ms)
        owner.now_ms += LOOK_MS
        report = elsewhere.report()
        assert len(report) < 20
        owner.book.merge(report, owner.now_ms)
        silent = set(owner.look())
    assert len(silent) == 199_997
    assert silent.isdisjoint({3, 77, 199_999})
    assert elsewhere.report() == b""


def test_a_report_of_many_is_about_a_byte_for_each() -> None:
    book = PresenceBook(T0)
    for number in range(5_000_000, 5_100_000, 2):
        book.seen(number, T0)
    reports = [book.report()]
    while book.unreported:
        reports.append(book.report())
    assert sum(map(len, reports)) < 1.1 * 50_000
    assert len(reports) == 3, "none of them takes long"


@pytest.mark.parametrize("damaged", [b"\xc1", b"\x93\x01", b"\xa3abc", b"\x91\xc3"])
def test_a_damaged_report_is_refused(damaged: bytes) -> None:
    with pytest.raises(ValueError, match="not a presence report"):
        PresenceBook(T0).merge(damaged, T0)


def test_numbers_of_a_report_that_are_not_known_yet_or_ended_do_no_harm() -> None:
    owner, elsewhere = Owner(2), PresenceBook(T0)
    owner.look()
    owner.ended.add(1)
    owner.until(T0 + 100_000, {2: LOOK_MS})
    elsewhere.seen(1, owner.now_ms)
    elsewhere.seen(10**12, owner.now_ms)
    owner.book.merge(elsewhere.report(), owner.now_ms)
    assert owner.look() == []


def test_all_count_as_seen_by_a_new_owner_and_after_a_pause() -> None:
    owner = Owner(3)
    owner.look()
    owner.until(T0 + 55_000, {})
    owner.now_ms += 10 * IDLE_MS
    assert owner.look() == []
    assert owner.until(owner.now_ms + IDLE_MS - LOOK_MS, {}) == {}
    assert set(owner.until(owner.now_ms + 2 * LOOK_MS, {})) == {1, 2, 3}


def test_looks_that_are_a_little_late_are_no_stall() -> None:
    owner = Owner(1)
    silent: list[int] = []
    while owner.now_ms < T0 + 2 * IDLE_MS:
        silent += owner.look()
        owner.now_ms += STALLED_AFTER_MS
    assert silent


def test_one_inside_who_never_noticed_is_silent_and_one_who_did_never() -> None:
    owner = Owner(4)
    owner.look()
    owner.until(T0 + 30_000, {1: LOOK_MS, 2: LOOK_MS})
    # 1 and 2 waited and polled, 3 and 4 did not; all four come in now.
    owner.now_ms += 200
    owner.inside = dict.fromkeys(range(1, 5), owner.now_ms)
    owner.now_ms += 300
    owner.book.seen(1, owner.now_ms)
    owner.book.seen(3, owner.now_ms)
    found = owner.until(T0 + 400_000, {})
    assert set(found) == {2, 4}
    assert all(after > 30_200 + IDLE_MS for after in found.values())


def test_numbers_that_have_ended_are_let_go_of() -> None:
    owner = Owner(100_000)
    owner.look()
    owner.ended = set(range(1, 99_001))
    owner.until(T0 + 100_000, dict.fromkeys(range(99001, 100001), LOOK_MS))
    assert len(owner.book._stamps) < 1_000 + 4_096
    owner.last_number = 100_001
    assert set(owner.until(T0 + 200_000, {})) == set(range(99_001, 100_002))
