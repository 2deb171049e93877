"""What every way is asked, by a way that is a dictionary: orders, tries, batches, faults."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest

from bench.methods import way as way_module
from bench.methods import worker
from bench.methods.components import Component, Components
from bench.methods.run import SMALLEST, WORKS, Cell, Size, _order, differences
from bench.methods.way import (
    OPENING,
    SEATS_FROM,
    Command,
    Kind,
    RefusedError,
    Totals,
    Way,
    decide,
    interruptions,
    jitter,
)
from bench.methods.ways import NAMES, chosen, way_named
from bench.methods.ways.broker import BrokerWay, _decide_all
from bench.methods.ways.http import HttpWay
from bench.methods.worker import CHARGE, USE, Order, perform


class DictWay(Way):
    """Right in one process, as nothing is awaited between reading and writing."""

    name = "a dictionary"

    async def start(self) -> None:
        self.rows: dict[int, int] = {}
        self.fails = 0

    async def stop(self) -> None:
        self.rows.clear()

    async def prepare(self, users: int, seats: int) -> None:
        self.rows |= dict.fromkeys(range(users), OPENING)
        self.rows |= dict.fromkeys(range(SEATS_FROM, SEATS_FROM + seats), 0)

    async def totals(self, users: int, seats: Sequence[int]) -> Totals:
        if self.fails:
            self.fails -= 1
            raise OSError("the database starts")
        taken = sum(self.rows[SEATS_FROM + seat] > 0 for seat in seats)
        return Totals(sum(self.rows[user] for user in range(users)), taken)

    async def change(self, command: Command) -> int:
        await asyncio.sleep(0)
        self.rows[command.row] = value = decide(self.rows[command.row], command)
        return value


class ForgetfulWay(DictWay):
    """Confirms every second change and does not do it."""

    async def change(self, command: Command) -> int:
        if self.attempts % 2 == 0:
            return 0
        return await super().change(command)


class BrokenWay(DictWay):
    """Does nothing but fail."""

    async def change(self, command: Command) -> int:
        raise ConnectionError("gone")


async def started(kind: type[DictWay] = DictWay, users: int = 3, seats: int = 4) -> DictWay:
    way = kind({})
    await way.start()
    await way.prepare(users, seats)
    return way


def money(**changes: float) -> Order:
    order = {"users": 3, "seats": 4, "count": 30, "callers": 5, "limit_s": 30.0}
    return Order("money", **{**order, **changes})  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def no_interruptions() -> Iterator[None]:
    interruptions.clear()
    yield
    interruptions.clear()


# -- decisions -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value", "amount", "after"),
    [
        ("charge", 10, 5, 15),
        ("use", 10, 10, 0),
        ("use", 10, 11, None),
        ("reserve", 0, 7, 7),
        ("reserve", 7, 8, None),
        ("reserve", 7, 7, None),
    ],
)
def test_a_row_becomes_what_follows_or_the_change_is_refused(
    kind: Kind, value: int, amount: int, after: int | None
) -> None:
    command = Command(kind, 1, amount, "id")
    if after is None:
        with pytest.raises(RefusedError, match=kind):
            decide(value, command)
    else:
        assert decide(value, command) == after


def test_who_is_interrupted_between_reading_and_writing_is_so_once() -> None:
    seen: list[str] = []
    interruptions.append(lambda: seen.append("stopped"))
    for _ in range(2):
        decide(0, Command("charge", 1, 1, "id"))
    assert seen == ["stopped"]


def test_waits_between_tries_grow_up_to_a_limit_and_are_by_chance() -> None:
    for attempt in (0, 3, 50, 10_000):
        limit = min(0.1, 0.002 * 2 ** min(attempt, 20))
        waits = [jitter(attempt) for _ in range(50)]
        assert all(0 <= wait <= limit for wait in waits)
        assert len(set(waits)) > 1


async def test_a_try_that_comes_to_nothing_is_counted_and_repeated() -> None:
    way, tries = await started(), iter([None, None, 7])

    async def attempt() -> int | None:
        return next(tries)

    assert await way.until_done(attempt, 0.0, 0.0) == 7
    assert way.attempts == 2


async def test_who_tries_in_vain_for_too_long_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(way_module, "WAIT_S", -1.0)
    way = await started()

    async def attempt() -> int | None:
        return None

    with pytest.raises(TimeoutError):
        await way.until_done(attempt)


# -- orders ----------------------------------------------------------------------------------------


async def test_money_is_charged_and_used_in_turn_and_all_of_it_is_there() -> None:
    way = await started()
    before = await way.totals(3, range(4))
    tally = await perform(way, money())
    assert (tally.charges, tally.uses, tally.holds) == (30, 30, 0)
    assert len(tally.seconds) == tally.attempts == 60
    assert way.rows[0] == OPENING + 10 * (CHARGE - USE)
    assert differences([tally], before, await way.totals(3, range(4))) == (0, 0, 0)
    assert tally.began <= tally.ended


async def test_a_race_sells_each_seat_once_and_refuses_the_others() -> None:
    way = await started()
    tally = await perform(way, Order("race", first_seat=0, seats=4, count=20, callers=6, limit_s=9))
    assert tally.holds == 4
    assert len(tally.seconds) == 20, "a refusal is an answer"
    assert (await way.totals(0, range(4))).taken == 4
    holders = [way.rows[SEATS_FROM + seat] for seat in range(4)]
    assert all(holders)
    assert len(set(holders)) == 4


async def test_two_processes_share_an_order_between_them() -> None:
    one, two = await started(), await started()
    one.of = two.of = 2
    two.index = 1
    tallies = [await perform(way, money()) for way in (one, two)]
    assert [tally.charges for tally in tallies] == [15, 15]


async def test_what_is_confirmed_and_not_done_is_found_to_be_lost() -> None:
    """Else the measure of what is lost would be one that cannot fail."""
    way = await started(ForgetfulWay)
    before = await way.totals(3, range(4))
    tally = await perform(way, money())
    lost = differences([tally], before, await way.totals(3, range(4)))
    assert lost[0] + lost[1] == 30


async def test_errors_are_counted_by_their_kind_and_the_callers_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "ERROR_S", 0.0)
    tally = await perform(await started(BrokenWay), money(count=5))
    assert tally.errors == {"ConnectionError": 10}
    assert not tally.seconds
    assert tally.gap_s > 0


async def test_an_order_ends_with_what_it_has_done_when_its_time_is_over() -> None:
    tally = await perform(await started(), money(limit_s=-1.0))
    assert (tally.charges, tally.attempts) == (0, 0)


async def test_callers_begin_when_they_are_told_to() -> None:
    begin = time.monotonic() + 0.05
    tally = await perform(await started(), money(begin=begin, count=1))
    assert tally.began >= begin


async def test_what_is_true_is_asked_again_of_a_database_that_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "ERROR_S", 0.0)
    way = await started()
    way.fails = 3
    tally = await perform(way, Order("totals", users=3, seats=4))
    assert tally.totals == Totals(3 * OPENING, 0)
    monkeypatch.setattr(worker, "ANSWERS_S_MAX", -1.0)
    way.fails = 1
    with pytest.raises(OSError, match="starts"):
        await perform(way, Order("totals", users=3, seats=4))


async def test_making_ready_makes_rows_and_admitting_asks_for_nothing() -> None:
    way = DictWay({})
    await way.start()
    await perform(way, Order("prepare", users=2, seats=3))
    assert way.rows == {0: OPENING, 1: OPENING, **{SEATS_FROM + n: 0 for n in range(3)}}
    await perform(way, Order("admit", count=2))
    assert way.attempts == 0


# -- cells -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("work", WORKS)
@pytest.mark.parametrize("size", [Size(), SMALLEST], ids=["usual", "smallest"])
def test_a_cell_becomes_an_order_of_its_size(work: str, size: Size) -> None:
    order = _order(size, Cell(work, 16, 2), first_seat=150)
    assert order.callers == 8
    assert order.first_seat == 150
    racing = work == "seat race"
    assert order.work == ("race" if racing else "money")
    assert order.count == (size.racers if racing else size.changes)
    assert order.limit_s == (size.race_limit_s if racing else size.limit_s)
    assert order.users == (1 if work == "one user" else size.users)


# -- brokers ---------------------------------------------------------------------------------------


def batch(*changes: tuple[Kind, int, int]) -> list[Command]:
    return [Command(kind, row, amount, f"c{n}") for n, (kind, row, amount) in enumerate(changes)]


def test_a_batch_is_decided_in_its_order_on_what_came_before() -> None:
    state, done = {1: 10, 2: 0}, dict[str, int]()
    commands = batch(("charge", 1, 5), ("use", 1, 15), ("use", 1, 1), ("reserve", 2, 9))
    entries = _decide_all(commands, state, done)
    assert entries == [("c0", 1, 5, 15), ("c1", 1, 15, 0), ("c3", 2, 9, 9)]
    assert state == {1: 0, 2: 9}
    assert done == {"c0": 15, "c1": 0, "c3": 9}, "the third was refused"


def test_a_message_that_comes_again_has_the_first_answer_and_no_effect() -> None:
    state, done = {1: 100}, {"c0": 55}
    assert _decide_all(batch(("charge", 1, 5)), state, done) == []
    assert (state, done) == ({1: 100}, {"c0": 55})


# -- which there are -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_each_way_has_its_name_what_it_needs_and_a_review(name: str) -> None:
    way = way_named(name)
    assert way.name == name
    assert way.needs
    assert "Reviewed: " in (way.__doc__ or "")
    assert 1 <= way.exact_in <= 2
    assert not way.writes_stale or way.interruptible, "who never stands still writes nothing stale"


def components(*names: str) -> Components:
    found = Components.__new__(Components)
    dict.__init__(found, {name: Component([f"url of {name}"]) for name in names})
    return found


def test_ways_whose_components_are_missing_are_left_out() -> None:
    assert chosen(components()) == []
    there = [way.name for way in chosen(components("postgres", "nats"))]
    assert "NATS JetStream" in there
    assert "pessimistic, PostgreSQL" in there
    assert "RabbitMQ" not in there
    assert "optimistic, MariaDB" not in there
    some = ["RabbitMQ", "simple lock"]
    assert [way.name for way in chosen(components("postgres"), some)] == ["simple lock"]


def test_a_way_is_told_where_its_components_are() -> None:
    with ExitStack() as stack:
        urls = way_named("pub/sub lock, Redis").serve(components("postgres", "locks"), stack)
    assert urls == {"postgres": ["url of postgres"], "locks": ["url of locks"]}


def test_each_run_of_a_broker_has_a_queue_of_its_own() -> None:
    there = components("postgres", "rabbitmq", "nats", "kafka")
    with ExitStack() as stack:
        for name in ("RabbitMQ", "NATS JetStream", "Kafka"):
            way = way_named(name)
            assert issubclass(way, BrokerWay)
            first, second = way.serve(there, stack), way.serve(there, stack)
            assert first["queue"] != second["queue"]


def test_the_service_has_no_bare_use_and_stands_still_nowhere() -> None:
    assert not HttpWay.uses
    assert not HttpWay.interruptible
