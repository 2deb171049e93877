"""Processes of our own, forked from one that has imported what they need, each with a pipe."""

import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Self

import uvloop

from bench.processes import ProcessFailedError

PRELOADED = ["bench.methods.worker", "bench.methods.queues.edge"]
STOP_S_MAX = 15.0
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(PRELOADED)

Pipe = Any
"""The end of one: ``send`` and ``recv``, as :mod:`multiprocessing` has them."""


class Fork:
    """A process that runs one coroutine, whose first argument is its end of the pipe. It should end
    when the other end is closed, as that tells it that we are gone. Use as a context manager."""

    def __init__(self, main: Callable[..., Coroutine[Any, Any, None]], *arguments: object) -> None:
        self._pipe, theirs = _CONTEXT.Pipe()
        self.process = _CONTEXT.Process(target=_run, args=(main, theirs, arguments), daemon=True)
        self.process.start()
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process.pid is not None
        return self.process.pid

    def send(self, message: object) -> None:
        """Tell it something."""
        self._pipe.send(message)

    def answer(self) -> Any:
        """What it says next; :class:`ProcessFailedError` if it has ended."""
        try:
            return self._pipe.recv()
        except (EOFError, ConnectionError):
            raise ProcessFailedError(f"process {self.pid} ended") from None

    def ended(self) -> bool:
        """Whether it has."""
        return not self.process.is_alive()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, in order unless ``how`` is SIGKILL; done again, it does nothing."""
        self._pipe.close()
        if how != signal.SIGKILL:
            self.process.join(STOP_S_MAX)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _run(main: Callable[..., Coroutine[Any, Any, None]], pipe: Pipe, arguments: Any) -> None:
    os.setsid()  # Ctrl-C is for the one that measures, which then ends all in order
    logging.disable()  # what goes wrong is counted
    with suppress(KeyboardInterrupt):
        uvloop.run(main(pipe, *arguments))
