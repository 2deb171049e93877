"""Processes that can be stopped, on one virtual-time loop.

Whatever an instance does runs in a context that names its process: tasks inherit it, and callbacks
too. While the process is stopped its callbacks are kept, as the system keeps a stopped process'
timers and sockets, and they run when it goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

from tests.support.virtual_time import VirtualTimeLoop

T = TypeVar("T")


class Due:
    """A callback of a process."""

    __slots__ = ("args", "callback", "context", "handle", "process")

    def __init__(
        self, process: Process, callback: Callable[..., Any], args: tuple[Any, ...], ctx: Context
    ) -> None:
        self.process = process
        self.callback = callback
        self.args = args
        self.context = ctx
        self.handle: asyncio.Handle | None = None

    def __call__(self) -> None:
        if self.process.stopped:
            self.process.kept.append(self)
        elif self.handle is None or not self.handle.cancelled():
            self.callback(*self.args)


class Process:
    """What can be stopped, and goes on."""

    def __init__(self) -> None:
        self.stopped = False
        self.stood_s = 0.0
        """For how long it was stopped, all in all."""
        self._since_s = 0.0
        self.kept: list[Due] = []
        self.context = copy_context()
        self.context.run(CURRENT.set, self)

    def stop(self) -> None:
        if not self.stopped:
            self._since_s = asyncio.get_running_loop().time()
        self.stopped = True

    def go_on(self) -> None:
        loop = asyncio.get_running_loop()
        if self.stopped:
            self.stood_s += loop.time() - self._since_s
        self.stopped = False
        kept, self.kept = self.kept, []
        for due in kept:
            assert isinstance(loop, StoppableLoop)
            loop.call_kept(due)

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run this in the process."""
        return asyncio.get_running_loop().create_task(coroutine, context=self.context)


CURRENT: ContextVar[Process | None] = ContextVar("process", default=None)


class StoppableLoop(VirtualTimeLoop):
    """Asks each callback's process whether it may run."""

    def call_soon(  # type: ignore[override]  # any callback
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        context = copy_context() if context is None else context
        process = context.get(CURRENT)
        if process is None:
            return super().call_soon(callback, *args, context=context)
        due = Due(process, callback, args, context)
        due.handle = super().call_soon(due, context=context)
        return due.handle

    def call_at(  # type: ignore[override]  # any callback
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        context = copy_context() if context is None else context
        process = context.get(CURRENT)
        if process is None:
            return super().call_at(when, callback, *args, context=context)
        due = Due(process, callback, args, context)
        due.handle = handle = super().call_at(when, due, context=context)
        return handle

    def call_kept(self, due: Due) -> None:
        """Run what was kept, unless it is cancelled by then."""
        super().call_soon(due, context=due.context)
