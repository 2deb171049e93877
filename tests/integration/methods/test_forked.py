"""Processes with a pipe: they answer, end with it, and tell when they are gone."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.methods.forked import Fork, Pipe
from bench.methods.syncs import CALLS, SyncCounter, counting
from bench.processes import ProcessFailedError


async def syncing(pipe: Pipe, path: str) -> None:
    """Sync a file as often as it is told to, until the pipe ends."""
    loop = asyncio.get_running_loop()
    with open(path, "wb") as file:  # noqa: ASYNC230 - nothing else runs here
        while True:
            try:
                count = await loop.run_in_executor(None, pipe.recv)
            except EOFError:
                break
            for _ in range(count):
                os.fsync(file.fileno())
            pipe.send(os.getpid())
    os.remove(path)


@pytest.fixture
def fork(tmp_path: Path) -> Iterator[Fork]:
    with Fork(syncing, str(tmp_path / "file")) as started:
        yield started


def test_a_process_answers_under_its_own_id_and_ends_in_order(fork: Fork, tmp_path: Path) -> None:
    fork.send(1)
    assert fork.answer() == fork.pid != os.getpid()
    assert not fork.ended()
    fork.stop()
    assert fork.ended()
    assert not (tmp_path / "file").exists()  # it came to its end by itself
    fork.stop()


def test_one_that_was_killed_is_told_of_where_an_answer_is_expected(fork: Fork) -> None:
    os.kill(fork.pid, signal.SIGKILL)
    with pytest.raises(ProcessFailedError, match=str(fork.pid)):
        fork.answer()
    fork.stop(signal.SIGKILL)
    assert fork.ended()


def test_syncs_are_counted_of_those_who_are_watched_alone(fork: Fork, tmp_path: Path) -> None:
    """Given one process that is watched, beside one that has ended, when it and this one sync, then
    its syncs are counted and no others."""
    with counting() as counter:
        if counter.count() is None:
            pytest.skip("the kernel counts for root alone")
        counter.watch([fork.pid, 2**22 + 1])
        before = counter.count() or 0
        fork.send(7)
        fork.answer()
        with (tmp_path / "other").open("wb") as other:
            os.fsync(other.fileno())
        assert (counter.count() or 0) - before == 7


def test_without_the_kernels_help_nothing_is_made_up() -> None:
    counter = SyncCounter(None)
    counter.watch([os.getpid()])
    assert counter.count() is None
    assert CALLS == ("fsync", "fdatasync")
