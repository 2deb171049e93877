"""The garbage collector looks at everything before an instance serves, and never while it does."""

from __future__ import annotations

import asyncio
import gc
from collections import deque
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from booking.cli import serving
from booking.cli.outcome import DONE
from booking.server import Server


async def test_no_look_at_everything_stops_an_instance_that_serves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A full look takes tens of milliseconds of the event loop, which is all that there is to
    answer callers from the moment on at which the server has started."""
    done: list[str] = []

    def note(what: str) -> Any:
        return lambda *_: done.append(what)

    async def start(*_: Any) -> Any:
        done.append("start")
        return SimpleNamespace(port=1, stop=stop)

    async def stop(_: float) -> None:
        done.append("stop")

    looks = {name: note(name) for name in ("collect", "freeze", "set_threshold")}
    fake = SimpleNamespace(**looks, get_threshold=lambda: (700, 10, 10))
    monkeypatch.setattr(serving, "gc", fake)
    monkeypatch.setattr(Server, "start", start)
    monkeypatch.setattr(serving, "_run_until_stopped", lambda *_: asyncio.sleep(0))
    settings: Any = SimpleNamespace(host="h", instance="one")

    serving.calm_collector()
    assert await serving._serve(settings, exit_with_stdin=False, shared=None) == DONE

    assert done == ["collect", "freeze", "set_threshold", "collect", "start", "freeze", "stop"]


async def test_what_comes_as_as_much_leaves_is_looked_at_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Given objects that come into memory as others leave it, so that their number stays what it
    was, when some time has passed, then the youngest generation holds few of them: a look at all
    that ever came in would stop the loop for a tenth of a second."""
    before = gc.get_threshold()
    monkeypatch.setattr(serving, "GC_LOOK_S", 0.001)
    kept: deque[list[object]] = deque([[object()] for _ in range(20_000)], maxlen=20_000)
    gc.collect()
    try:
        serving.calm_collector()
        serving._look_at_young()
        for _ in range(20):
            kept.extend([object()] for _ in range(1_000))
            looks = gc.get_stats()[1]["collections"]
            async with asyncio.timeout(30):
                while gc.get_stats()[1]["collections"] == looks:  # noqa: ASYNC110 - tells nobody
                    await asyncio.sleep(0)
        assert len(gc.get_objects(0)) + len(gc.get_objects(1)) < 10_000
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
        monkeypatch.setattr(serving, "_look_at_young", lambda: None)


def test_values_of_the_domain_are_none_of_the_collectors_business() -> None:
    """Immutable values are made of values that were there before: no cycle can lead through them.
    There are several for each entity in memory and some for each request."""
    modules = [Path("booking/domain/decision.py"), *Path("booking").glob("*/domain/*.py")]
    found = [
        value
        for name in (".".join(path.with_suffix("").parts) for path in modules)
        for value in vars(import_module(name)).values()
        if isinstance(value, type) and issubclass(value, msgspec.Struct)
        if value.__module__ == name
    ]
    assert len(found) > 60
    assert [kind.__qualname__ for kind in found if kind.__struct_config__.gc] == []
