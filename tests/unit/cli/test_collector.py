"""The garbage collector looks at everything before an instance serves, and never while it does."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

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

    assert await serving._serve(settings, exit_with_stdin=False, shared=None) == DONE

    assert done == ["collect", "freeze", "set_threshold", "start", "freeze", "stop"]
