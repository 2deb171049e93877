"""A run on virtual time ends: well, or with words that say how it went on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.simulation.plan import make_plan
from tests.simulation.story import Story
from tests.simulation.story import run as run_story
from tests.support import virtual_time
from tests.support.virtual_time import EndlessRunError, run


class TimeUp(BaseException):
    """As the time-out of a test, which is no :class:`Exception`."""


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual_time, "STEPS_MAX", 20_000)
    monkeypatch.setattr(virtual_time, "STEPS_STILL_MAX", 5_000)


async def for_ever(pause: Callable[[], Awaitable[object]]) -> None:
    while True:
        await pause()


@pytest.mark.parametrize(
    ("pause_s", "words"),
    [
        pytest.param(0.0, "5,001 of them since it moved", id="at-one-moment"),
        pytest.param(0.01, "20,001 steps", id="step-after-step"),
        pytest.param(86_400.0, "clock is at 52704", id="day-after-day"),
    ],
)
def test_a_run_without_end_fails(pause_s: float, words: str) -> None:
    with pytest.raises(EndlessRunError, match=words):
        run(for_ever(lambda: asyncio.sleep(pause_s)))


def test_what_refuses_to_be_cancelled_does_not_keep_it_going() -> None:
    async def stubborn() -> None:
        while True:
            try:
                await asyncio.sleep(0.1)
            except asyncio.CancelledError:
                continue

    with pytest.raises(EndlessRunError):
        run(stubborn())


def test_the_time_out_of_a_test_ends_it_wherever_it_is_raised() -> None:
    """The event loop only logs what a callback raises."""

    def time_up() -> None:
        raise TimeUp

    async def main() -> None:
        asyncio.get_running_loop().call_later(1.0, time_up)
        await for_ever(lambda: asyncio.sleep(0.1))

    with pytest.raises(TimeUp):
        run(main())


def test_a_simulation_without_end_is_a_violation_with_its_timeline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def heal(story: Story) -> None:
        while True:
            story.note("service", "one", "does not start")
            await asyncio.sleep(0)

    monkeypatch.setattr(Story, "_heal", heal)
    told = run_story(make_plan(1, ["kill"]))
    assert told.violation is not None
    assert "the run does not end" in str(told.violation)
    assert "does not start" in told.timeline.text()
