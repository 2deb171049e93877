"""The small parts of the runtime, each on its own."""

from __future__ import annotations

import asyncio

import pytest

from actors.core.context import Limits
from actors.core.envelope import Deadlines, Envelope
from actors.core.supervision import Backoff, CrashWindow, where
from actors.errors import DeadlineExceededError
from actors.tasks import Tasks
from actors.transport import Answer
from tests.support.runtimes import pass_time
from tests.support.virtual_time import NothingWillHappenError, VirtualClock, VirtualTimeLoop, run


async def test_a_backoff_doubles_up_to_its_maximum() -> None:
    backoff = Backoff(0.1, 1.0, lambda: 0.0)
    assert [backoff.next_s() for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    backoff.reset()
    assert backoff.next_s() == 0.1


async def test_a_backoff_is_cut_by_at_most_a_half() -> None:
    assert Backoff(1.0, 1.0, lambda: 1.0).next_s() == 0.5


async def test_a_backoff_stays_at_its_maximum_for_ever() -> None:
    backoff = Backoff(0.1, 1.0, lambda: 0.0)
    assert [backoff.next_s() for _ in range(5_000)][-1] == 1.0


async def test_crashes_are_counted_for_each_shard_and_within_the_window() -> None:
    window = CrashWindow(Limits(crashes_max=2, crash_window_s=60.0))
    assert [window.crashed(1, at) for at in (0.0, 1.0)] == [False, False]
    assert window.crashed(2, 2.0) is False
    assert window.crashed(1, 3.0) is True
    assert [window.crashed(1, at) for at in (4.0, 5.0, 64.5)] == [False, False, False]


async def test_the_place_of_an_error_is_told_without_its_message() -> None:
    try:
        raise ValueError("secret words of a user")
    except ValueError as error:
        told = where(error)
    assert told.startswith("ValueError at ")
    assert "test_parts.py" in told
    assert "secret" not in told


@pytest.mark.parametrize("timeout_s", [0.0, 0.001, 0.049, 0.05, 1.0, 4.99, 60.0])
async def test_a_deadline_is_kept_within_one_tick_and_never_early(timeout_s: float) -> None:
    loop, clock = asyncio.get_running_loop(), VirtualClock()
    deadlines = Deadlines(clock, loop)
    await pass_time(0.123)
    future: asyncio.Future[Answer] = loop.create_future()
    began = clock.monotonic()
    deadlines.watch(Envelope("x", None, future, began + timeout_s))
    with pytest.raises(DeadlineExceededError):
        await future
    assert timeout_s <= clock.monotonic() - began + 1e-9 <= timeout_s + 0.0511


async def test_what_is_answered_in_time_is_left_alone() -> None:
    loop, clock = asyncio.get_running_loop(), VirtualClock()
    deadlines = Deadlines(clock, loop)
    future: asyncio.Future[Answer] = loop.create_future()
    envelope = Envelope("x", None, future, 1.0)
    deadlines.watch(envelope)
    envelope.answer(Answer("y"))
    await pass_time(2.0)
    assert future.result().reply == "y"
    assert deadlines.exceeded == 0


async def test_a_failed_task_is_told_and_the_others_can_be_closed() -> None:
    tasks = Tasks("test")

    async def fail() -> None:
        raise ZeroDivisionError

    async def wait() -> None:
        await asyncio.Event().wait()

    tasks.spawn(wait(), "waits")
    tasks.spawn(fail(), "fails")
    assert isinstance(await tasks.failed, ZeroDivisionError)
    assert len(tasks) == 1
    await tasks.close()
    assert len(tasks) == 0


def test_virtual_time_passes_at_once() -> None:
    async def wait_an_hour() -> float:
        await asyncio.sleep(3_600)
        return asyncio.get_running_loop().time()

    assert run(wait_an_hour()) == pytest.approx(3_600)


def test_virtual_time_does_not_wait_for_what_cannot_come() -> None:
    loop = VirtualTimeLoop()
    forever = loop.create_future()
    with pytest.raises(NothingWillHappenError):
        loop.run_until_complete(forever)
    loop.close()


async def test_a_task_that_loses_its_cancellation_is_told_again() -> None:
    tasks = Tasks("test")
    lost: list[int] = []

    async def deaf() -> None:
        while len(lost) < 2:
            try:
                await asyncio.sleep(3_600)
            except asyncio.CancelledError:
                lost.append(1)
        await asyncio.sleep(3_600)

    tasks.spawn(deaf(), "deaf")
    await asyncio.sleep(0)
    await tasks.close()
    assert len(lost) == 2
    assert len(tasks) == 0
