"""The bare route gives the service's answers, and both targets are measured in turns."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench.bare import Answer, read_answers, write_answers
from bench.client import Target
from bench.load import Pool
from bench.record import Side
from bench.report import side_report, slice_ratios
from bench.rig import start_bare
from bench.run import Lane, Plan, compare, sampled
from bench.scenario import Scenario, charge, expect, get
from bench.workloads import WORKLOADS, Workload
from bench.world import World

SPELLED = b'{"success":true,"data":{"balance": 5}}'
ANSWERS = [
    Answer("POST", "/user/charge", 200, "application/json; charset=utf-8", SPELLED),
    Answer("GET", "/user/check", 200, "application/json", b'{"odd": "\xc3\xa9"}'),
]


class Charging(Workload):
    """Two steps, so that a sample has two answers."""

    name = "charging"
    title = "for this test"

    def __init__(self) -> None:
        self.order: list[str] = []
        self.user = ""

    async def prepare(self, world: World) -> None:
        self.user = world.users.fresh()

    def _story(self) -> Scenario:
        yield from expect("charge", charge(self.user, 5), 200)
        yield from expect("balance", get(f"/user/check?userId={self.user}"), 200)

    def scenario(self) -> Scenario:
        self.order.append("service")
        return self._story()

    def bare_scenario(self) -> Scenario:
        self.order.append("bare")
        return self._story()

    async def verify(self, world: World, service: Side) -> list[str]:
        return ["looked"]


@pytest.fixture
async def bare(tmp_path: Path) -> AsyncIterator[tuple[Target, int]]:
    with ExitStack() as stack:
        yield await asyncio.to_thread(start_bare, ANSWERS, tmp_path, stack)


def test_answers_are_the_same_after_their_way_through_a_file(tmp_path: Path) -> None:
    write_answers(tmp_path / "answers.json", ANSWERS)
    assert read_answers(tmp_path / "answers.json") == ANSWERS


async def test_the_bare_route_answers_byte_for_byte_what_was_sampled(
    bare: tuple[Target, int],
) -> None:
    workload = Charging()
    async with Pool(bare[0], 2) as pool:
        await workload.prepare(World(pool))
        assert await sampled(workload, pool) == ANSWERS


async def test_the_bare_route_decodes_what_is_posted(bare: tuple[Target, int]) -> None:
    async with Pool(bare[0], 1) as pool:
        answer = await World(pool).ask(
            "charge", charge("x", 1).replace(b'"amount"', b'"among!"'), 500
        )
    assert answer.status == 500


async def test_the_bare_route_is_gone_with_its_stack(tmp_path: Path) -> None:
    with ExitStack() as stack:
        _, pid = await asyncio.to_thread(start_bare, ANSWERS, tmp_path, stack)
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_both_targets_are_measured_in_turns_abba(bare: tuple[Target, int]) -> None:
    target, pid = bare
    workload = Charging()
    async with Pool(target, 2) as one, Pool(target, 2) as other:
        world = World(one)
        await workload.prepare(world)
        lanes = Lane("service", one, pid), Lane("bare route", other, pid)
        plan = Plan(slices=2, slice_s=0.1, warmup_s=0.05)
        problems = await compare(workload, world, *lanes, plan)
    turns = [
        who
        for who, before in zip(workload.order, ["", *workload.order], strict=False)
        if who != before
    ]
    assert turns == ["service", "bare", "service"]
    assert problems == ["looked"]
    service, beside = lanes[0].side, lanes[1].side
    assert service.seconds == beside.seconds == pytest.approx(0.2)
    assert len(slice_ratios(service, beside)) == 2
    report = side_report(service)
    assert report.units > 0
    assert report.failures == {}
    assert set(report.steps) == {"charge", "balance"}


def test_every_workload_is_named_once_and_says_what_it_does() -> None:
    assert list(WORKLOADS) == [
        "status",
        "status-crowd",
        "issue",
        "issue-status",
        "charge-many",
        "charge-one",
        "flow",
        "race",
        "mix",
    ]
    assert all(workload.title for workload in WORKLOADS.values())
