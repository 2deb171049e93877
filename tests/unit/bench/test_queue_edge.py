"""The edge and the promoter of a waiting queue, over one that is a list; and servers of a run."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from multiprocessing import Pipe
from pathlib import Path
from typing import ClassVar

import pytest
from aiohttp.test_utils import TestClient, TestServer

from bench.methods import components
from bench.methods.components import Components, MissingError, _answers, running
from bench.methods.queues import compare, edge
from bench.methods.queues.edge import ALL, QUEUES, Doom, application, promote, serve
from bench.methods.queues.queue import Place, Queue, Reached
from bench.methods.queues.sites import OURS
from bench.processes import ProcessFailedError

USERS = [f"{n:08}-0000-4000-8000-000000000000" for n in range(5)]


class ListQueue(Queue):
    """In memory; who is asked for is told by the number alone."""

    name = "list"
    title = "a list"
    component = "none"
    durability = "none"
    points: ClassVar[tuple[str, ...]] = ("before", "done")
    line: ClassVar[list[str]] = []
    through: ClassVar[int] = 0
    opened: ClassVar[int] = 0

    async def open(self) -> None:
        ListQueue.opened += 1

    async def close(self) -> None:
        ListQueue.opened -= 1

    async def join(self, user: str) -> int:
        if user not in self.line:
            self.line.append(user)
        return self.line.index(user) + 1

    async def ask(self, user: str, number: int) -> Place | None:
        if user not in self.line:
            return None
        return Place(number, max(0, number - self.through - 1), number <= self.through)

    async def admit(self, count: int, reached: Reached) -> None:
        reached("before")
        ListQueue.through = min(self.through + count, len(self.line))
        reached("done")

    async def admissions(self) -> list[int]:
        return list(range(1, self.through + 1))


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(QUEUES, "list", ListQueue)
    ListQueue.line.clear()
    ListQueue.through = ListQueue.opened = 0
    yield
    assert ListQueue.opened == 0, "what was opened is closed"


async def test_the_edge_gives_a_token_with_which_one_asks() -> None:
    async with TestClient(TestServer(application(ListQueue("", "run")))) as client:
        tokens = []
        for user in USERS:
            answer = await client.post("/queue/issue", json={"userId": user})
            assert answer.status == 201
            tokens.append((await answer.json())["data"]["token"])
        assert tokens[2] == f"3.{USERS[2]}"
        await ListQueue("", "run").admit(2, lambda point: None)
        places = []
        for token in tokens:
            answer = await client.get("/queue/status", headers={"queue-token": token})
            places.append((await answer.json())["data"])
    assert [place["inside"] for place in places] == [True, True, False, False, False]
    assert [place["ahead"] for place in places] == [0, 0, 0, 1, 2]


async def test_who_is_not_in_the_queue_is_told_so() -> None:
    async with TestClient(TestServer(application(ListQueue("", "run")))) as client:
        answer = await client.get("/queue/status", headers={"queue-token": "7.nobody"})
        assert answer.status == 404
        assert (await answer.json()) == {"data": None}


async def test_the_edge_says_where_it_listens_and_ends_with_its_pipe() -> None:
    ours, theirs = Pipe()
    serving = asyncio.create_task(serve(theirs, "list", "", "run"))
    port = await asyncio.to_thread(ours.recv)
    assert _answers(port)
    assert ListQueue.opened == 1
    ours.close()
    await asyncio.wait_for(serving, 30)
    assert not _answers(port)


async def test_the_promoter_lets_in_so_many_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "_INTERVAL_S", 0.001)
    ListQueue.line += USERS
    ours, theirs = Pipe()
    promoting = asyncio.create_task(promote(theirs, "list", "", "run", 1_000.0, "nowhere"))
    assert await asyncio.to_thread(ours.recv) == "promoting"
    while ListQueue.through < len(USERS):  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.001)
    ours.close()
    await asyncio.wait_for(promoting, 30)
    assert await ListQueue("", "run").admissions() == [1, 2, 3, 4, 5]


def test_doom_comes_in_the_third_promotion_that_gets_to_its_point(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, how: killed.append((pid, how)))
    doom = Doom("taken")
    for passed, point in enumerate(["read", "taken", "read", "taken", "read"]):
        doom(point)
        assert not killed, passed
    doom("taken")
    assert killed == [(os.getpid(), signal.SIGKILL)]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_each_queue_says_what_it_is_and_where_its_promoter_may_die(kind: type[Queue]) -> None:
    assert QUEUES[kind.name] is kind
    assert kind.component in compare.COMPONENTS
    assert kind.title
    assert kind.durability
    assert len(set(kind.points)) == len(kind.points) >= 2
    steps = [point for name, point in compare.STEPS if name == kind.name]
    assert set(steps) <= set(kind.points)


def test_names_of_queues_are_all_different() -> None:
    assert len({kind.name for kind in ALL} | {OURS}) == len(ALL) + 1
    assert len({kind.title for kind in ALL}) == len(ALL)


# -- servers of a run ------------------------------------------------------------------------------


def test_a_port_answers_once_something_listens_that_says_the_right_words(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        assert _answers(port)
        listening.close()
        assert not _answers(port)
    path = tmp_path / "socket"
    assert not _answers(path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert _answers(path)


@pytest.mark.parametrize(
    "error", [MissingError("not installed"), ProcessFailedError("it ended with 1")]
)
def test_a_server_that_cannot_be_had_is_missing_with_the_reason(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(found: Components, directory: Path, stack: ExitStack) -> None:
        raise error

    def can(found: Components, directory: Path, stack: ExitStack) -> None:
        found["good"] = components.Component([f"beside {directory.name}"])

    monkeypatch.setattr(components, "STARTS", {"bad": cannot, "good": can})
    with running() as started:
        assert list(started) == ["good"]
        assert started["good"].url == "beside good"
        assert started.missing == {"bad": str(error)}
        directory = started.directory
        assert directory.exists()
    assert not directory.exists()


def test_a_process_that_ends_before_it_is_ready_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ends(found: Components, directory: Path, stack: ExitStack) -> None:
        process = components._Process(["false"], directory, lambda: False)
        found.add("short", ["nowhere"], process)

    monkeypatch.setattr(components, "STARTS", {"short": ends})
    with running() as started:
        assert not started
        assert started.missing["short"].startswith("false ended with 1")


def test_a_process_is_killed_started_again_and_ended_with_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def sleeps(found: Components, directory: Path, stack: ExitStack) -> None:
        process = components._Process(["sleep", "60"], directory, lambda: True)
        found.add("sleeper", ["nowhere"], process)

    monkeypatch.setattr(components, "STARTS", {"sleeper": sleeps})
    with running() as started:
        (first,) = started["sleeper"].pids()
        started["sleeper"].crash()
        (second,) = started["sleeper"].pids()
        assert first != second
        os.kill(second, 0)
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)


def test_nothing_is_installed_without_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    monkeypatch.setattr(components, "_is_installed", lambda name: False)
    monkeypatch.setattr(subprocess, "run", lambda *_: pytest.fail("it ran something"))
    components.install()
