"""The stories of the workloads, told to a service that answers from a table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench.client import Response
from bench.record import Side, StepRecord
from bench.scenario import Scenario, UnmetError, route_of
from bench.workloads import (
    AMOUNT,
    MIX_CHOICES,
    MIX_SHARES,
    RACERS,
    WORKLOADS,
    Workload,
)
from bench.world import DateSummary, UnexpectedAnswerError, Users, World

SEATS = 50
OK = Response(200, b"", b'{"data":{}}')


def answer(status: int, data: object = None) -> Response:
    return Response(status, b"", json.dumps({"data": data}).encode())


class TableWorld:
    """As much of a world as workloads get ready with: dates, tokens, and canned answers."""

    def __init__(self, dates: int = 3) -> None:
        self.users = Users()
        self.answers: dict[str, Response] = {}
        self.reserved = dict.fromkeys((f"d{n}" for n in range(dates)), 0)

    async def tokens(self, users: Iterable[str]) -> list[str]:
        return [f"token-of-{user}" for user in users]

    async def dates(self, token: str) -> list[DateSummary]:
        return [DateSummary(name, "c1", SEATS, held) for name, held in self.reserved.items()]

    async def ask(self, step: str, request: bytes, expected: int = 200) -> Response:
        return self.answers[step]


async def prepared(name: str, world: TableWorld | None = None) -> tuple[Any, TableWorld]:
    there, workload = world or TableWorld(), WORKLOADS[name]()
    await workload.prepare(cast(World, there))
    return workload, there


def play(scenario: Scenario | None, *answers: Response) -> list[tuple[str, tuple[str, str]]]:
    """Steps and routes of a story, which gets these answers and has to end with the last."""
    assert scenario is not None
    told = []
    step, request = next(scenario)
    for number, each in enumerate(answers, 1):
        told.append((step, route_of(request)))
        try:
            step, request = scenario.send(each)
        except StopIteration:
            assert number == len(answers)
            return told
    pytest.fail(f"it goes on with {step}")


SINGLE = [
    ("status", 200, ("status", ("GET", "/queue/status"))),
    ("issue", 201, ("issue", ("POST", "/queue/issue"))),
    ("charge-many", 200, ("charge", ("POST", "/user/charge"))),
    ("charge-one", 200, ("charge", ("POST", "/user/charge"))),
]


@pytest.mark.parametrize(("name", "status", "told"), SINGLE)
async def test_a_story_of_one_request_ends_with_its_answer_or_is_unmet(
    name: str, status: int, told: tuple[str, tuple[str, str]]
) -> None:
    workload, _ = await prepared(name)
    assert play(workload.scenario(), answer(status)) == [told]
    scenario = workload.scenario()
    next(scenario)
    with pytest.raises(UnmetError, match=f"{told[0]}:503"):
        scenario.send(answer(503))


async def test_one_lines_up_and_asks_with_the_token_that_was_given() -> None:
    workload, _ = await prepared("issue-status")
    scenario = workload.scenario()
    next(scenario)
    _, request = scenario.send(answer(201, {"token": "t-1"}))
    assert b"queue-token: t-1\r\n" in request


async def test_each_fresh_user_is_another_one() -> None:
    workload, _ = await prepared("issue")
    assert len({next(workload.scenario())[1] for _ in range(50)}) == 50


async def test_pollers_ask_in_turn() -> None:
    workload, _ = await prepared("status")
    requests = [next(workload.scenario())[1] for _ in range(2_000)]
    assert len(set(requests)) == 1_000
    assert requests[:1_000] == requests[1_000:]


# -- what is true afterwards -----------------------------------------------------------------------


async def verified(workload: Workload, world: TableWorld, side: Side | None = None) -> list[str]:
    return await workload.verify(cast(World, world), side or Side("service"))


@pytest.mark.parametrize(("charges", "fine"), [(1, False), (2, True), (3, True), (4, False)])
async def test_a_balance_has_every_charge_and_perhaps_one_never_answered(
    charges: int, fine: bool
) -> None:
    """Given two charges that were confirmed and one without an answer, then the balance is that of
    two or three."""
    workload, world = await prepared("charge-one")
    for _ in range(2):
        play(workload.scenario(), OK)
    next(workload.scenario())
    world.answers["balance"] = answer(200, {"balance": charges * AMOUNT})
    assert (await verified(workload, world) == []) is fine


async def test_a_charge_that_failed_is_not_expected_in_the_balance() -> None:
    workload, world = await prepared("charge-one")
    scenario = workload.scenario()
    next(scenario)
    with pytest.raises(UnmetError, match="charge:500"):
        scenario.send(answer(500))
    world.answers["balance"] = answer(200, {"balance": 0})
    assert await verified(workload, world) == []


async def test_a_flow_ends_with_its_seats_and_says_so() -> None:
    workload, world = await prepared("flow", TableWorld(dates=1))
    stories = [workload.scenario() for _ in range(SEATS)]
    assert None not in stories
    assert await verified(workload, world) == [
        "all seats were sold before the end: import a larger catalogue (--dates)"
    ]
    assert workload.scenario() is None
    assert workload.bare_scenario() is not None, "the bare route sells nothing"


def raced(sold: int, refused: int) -> Side:
    side = Side("service")
    side.steps["hold"] = StepRecord(statuses=Counter({201: sold, 409: refused}))
    return side


async def a_race() -> tuple[Any, TableWorld]:
    workload, world = await prepared("race")
    await workload.before_slice(cast(World, world))
    world.reserved["d1"] = SEATS  # the first is for the sample of the bare route
    world.answers["seats"] = answer(200, [{"state": "held"}] * SEATS)
    return workload, world


async def test_a_race_is_run_by_all_and_being_too_late_is_an_answer() -> None:
    workload, _ = await a_race()
    for number in range(RACERS):
        play(workload.scenario(), answer(201 if number < SEATS else 409))
    assert workload.scenario() is None


async def test_a_race_is_fine_when_every_seat_went_to_one() -> None:
    workload, world = await a_race()
    assert await verified(workload, world, raced(SEATS, RACERS - SEATS)) == []


@pytest.mark.parametrize("wrong", ["answers", "count", "list"])
async def test_a_seat_too_many_is_found_in_answers_counts_and_lists(wrong: str) -> None:
    workload, world = await a_race()
    side = raced(SEATS, RACERS - SEATS)
    if wrong == "answers":
        side = raced(SEATS + 1, RACERS - SEATS - 1)
    elif wrong == "count":
        world.reserved["d1"] = SEATS - 1
    else:
        states = [{"state": "held"}] * (SEATS - 1) + [{"state": "sold"}]
        world.answers["seats"] = answer(200, states)
    assert len(await verified(workload, world, side)) == 1


async def test_each_round_of_a_race_has_a_date_that_nobody_touched() -> None:
    world = TableWorld(dates=3)
    world.reserved["d1"] = 1
    workload, _ = await prepared("race", world)
    await workload.before_slice(cast(World, world))
    requests = {next(workload.scenario())[1] for _ in range(RACERS)}
    assert all(b'"concertScheduleId":"d2"' in request for request in requests)
    with pytest.raises(UnexpectedAnswerError, match="no untouched date"):
        await workload.before_slice(cast(World, world))


async def test_a_mix_has_its_shares_and_a_sample_of_every_step() -> None:
    workload, _ = await prepared("mix")
    counts = Counter(step for step, _ in workload._calls)
    for step, percent in MIX_SHARES.items():
        assert abs(counts[step] / MIX_CHOICES - percent / 100) < 0.03
    told = play(workload.sample(), *[OK] * len(MIX_SHARES))
    assert [step for step, _ in told] == list(MIX_SHARES)


def test_every_workload_says_what_it_is_and_what_it_counts() -> None:
    for name, kind in WORKLOADS.items():
        assert kind.name == name
        assert kind.title
        assert kind.unit
        assert kind.burst in (0, kind.connections)
        assert SimpleNamespace(**kind.settings)
