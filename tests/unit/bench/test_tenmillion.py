"""The rows and the cases of the run on ten million reservations, without a database."""

from __future__ import annotations

import random
import re
import uuid
from collections import Counter
from types import SimpleNamespace
from typing import cast

import pytest

from bench.record import Latencies
from bench.tenmillion.cases import (
    ALTERNATIVES,
    CASES,
    NOTHING,
    Case,
    alternative,
    new_reservations,
    samples,
)
from bench.tenmillion.data import (
    CHUNK,
    DUE_EVERY,
    NOW,
    PENDING_EVERY,
    SEATS,
    Sizes,
    name,
    reservations,
    seat_id,
    user_id,
)
from bench.tenmillion.measure import Asked, Finding
from bench.tenmillion.page import verdicts
from bench.tenmillion.stopwatch import Times

SIZES = Sizes(PENDING_EVERY * DUE_EVERY)
"""A hundred thousand, of which 250 are pending and one of those is due."""


@pytest.mark.parametrize("case", [*CASES, NOTHING], ids=lambda case: case.key)
def test_a_case_has_as_many_values_as_its_statement_asks_for(case: Case) -> None:
    asked = set(re.findall(r"\$\d", case.sql))
    (values,) = samples(case, SIZES, 1, seed=1)
    assert len(values) == len(asked)
    assert "\n" not in case.sql, "it is shown on one line"
    assert case.locks is case.sql.endswith("FOR UPDATE")


def test_samples_are_the_same_for_each_seed() -> None:
    for case in CASES:
        assert samples(case, SIZES, 20, seed=2) == samples(case, SIZES, 20, seed=2)
    either = CASES[0]
    assert samples(either, SIZES, 20, seed=2) != samples(either, SIZES, 20, seed=3)


def test_an_index_that_is_tried_has_a_statement_a_rival_and_cases() -> None:
    keys, kept = {case.key for case in CASES}, {each for case in CASES for each in case.indexes}
    for tried, (rival, cases) in ALTERNATIVES.items():
        assert alternative(tried).startswith(f"CREATE INDEX {tried} ON seat_reservation ")
        assert rival in kept
        assert keys.issuperset(cases)


def test_reservations_are_the_same_each_time_and_come_in_chunks() -> None:
    sizes = Sizes(2 * CHUNK + 7)
    chunks = list(reservations(sizes))
    assert list(map(len, chunks)) == [CHUNK, CHUNK, 7]
    assert chunks == list(reservations(sizes))
    assert [row[0] for chunk in chunks for row in chunk] == list(range(sizes.reservations))


def test_of_the_pending_ones_a_few_are_due() -> None:
    rows = [row for chunk in reservations(SIZES) for row in chunk]
    pending = [row for row in rows if row[3] == "PENDING"]
    assert len(pending) == SIZES.reservations // PENDING_EVERY
    assert len([row for row in pending if row[5] < str(NOW)]) == len(pending) // DUE_EVERY
    shares = Counter(row[3] for row in rows)
    assert 0.68 < shares["COMPLETED"] / len(rows) < 0.72
    assert 0.18 < shares["EXPIRED"] / len(rows) < 0.22
    assert {row[1] for row in rows} <= set(range(SIZES.users))
    assert {row[2] for row in rows} <= set(range(SIZES.schedules * SEATS))


def test_ids_are_different_and_in_no_order() -> None:
    users = [user_id(number) for number in range(1_000)]
    assert len(set(users)) == 1_000
    assert users != sorted(users)
    assert all(str(uuid.UUID(user)) == user for user in users)
    assert name("rsv_", 3).startswith("rsv_")
    assert (seat_id(0), seat_id(SEATS)) == ("date-0-1", "date-1-1")


@pytest.mark.parametrize("rows", [1, 10, 66])
def test_the_smallest_sizes_have_somebody_and_a_date(rows: int) -> None:
    assert Sizes(rows).users >= 1
    assert Sizes(rows).schedules >= 1


def test_new_holds_are_of_nobody_before() -> None:
    first, second = new_reservations(SIZES, 0, 10), new_reservations(SIZES, 10, 10)
    assert {len(column) for column in first} == {10}
    assert not set(first[0]) & set(second[0])
    assert set(first[7]) == {"PENDING"}
    expected = random.Random(0).randrange(SIZES.schedules * SEATS)
    assert first[1][0] == seat_id(expected)
    assert all(date == seat.rpartition("-")[0] for seat, date in zip(*first[1:3], strict=True))


@pytest.mark.parametrize(("p99_ms", "holds"), [(0.99, True), (1.0, False), (0.0, False)])
def test_a_claim_holds_by_what_was_measured_and_not_for_want_of_it(
    p99_ms: float, holds: bool
) -> None:
    """Given a run in which each query had to wait for a core, then nothing is shown, though its
    99th percentile is told as 0."""
    quiet = Latencies(int(p99_ms > 0), p99_ms, p99_ms, p99_ms, p99_ms)
    times = Times(Latencies(1, 5.0, 5.0, 5.0, 5.0), quiet)
    after = {case.key: Asked(times, times, "a plan") for case in CASES}
    found = cast(Finding, SimpleNamespace(after=after))
    assert [each for _, each in verdicts(found)] == [holds] * len(CASES)
