"""The watchdog of an event loop."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
import uvloop

from bench.watchdog import Stops, watch


def test_a_stop_is_seen_with_whose_fault_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a watched loop, when it waits and then computes, both show, and the next look begins
    anew."""
    monkeypatch.setattr(uvloop, "new_event_loop", uvloop.new_event_loop)
    stops = Stops(tmp_path / "stops")
    watch(str(tmp_path / "stops"))

    async def stand_still() -> None:
        await asyncio.sleep(0.02)
        time.sleep(0.2)  # noqa: ASYNC251 - it is what is looked for
        await asyncio.sleep(0.02)
        ends = time.thread_time() + 0.1
        while time.thread_time() < ends:
            pass
        await asyncio.sleep(0.02)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(stand_still())
    seen = stops.take()
    assert seen.wall_ms >= 150
    assert seen.work_ms >= 100
    assert stops.take().wall_ms == 0
