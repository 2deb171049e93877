"""What the bench asks the system about processes: CPU time, memory, children."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.methods.syncs import _family
from bench.processes import (
    Child,
    ProcessFailedError,
    cpu_seconds,
    family_cpu_seconds,
    memory_mb,
    run_to_end,
)
from tests.support.processes import wait_until

BUSY = "sum(range(3_000_000))"
PARENT = f"""
import subprocess, sys, threading
ended = subprocess.run([sys.executable, "-c", {BUSY!r}])
living = subprocess.Popen([sys.executable, "-c", {BUSY!r} + "; input()"], stdin=subprocess.PIPE)
threading.Thread(target=sys.stdin.read).start()
print(living.pid, flush=True)
"""
GONE = 2**22 + 1
"""No system gives out so high a process id."""


@pytest.fixture
def parent() -> Iterator[tuple[int, int]]:
    """A process that rests, with a child that has ended and one that lives; both were busy."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as started:
        assert started.stdout is not None
        child = int(started.stdout.readline())
        yield started.pid, child
        started.kill()


def test_the_time_of_a_family_has_that_of_its_children(parent: tuple[int, int]) -> None:
    """Given a process that only waits, when its children compute, one of which has ended, then the
    time of its family has both parts, and its own has neither."""
    pid, child = parent
    wait_until(lambda: cpu_seconds(child) > 0.02, "the child that lives has computed")
    assert family_cpu_seconds(pid) >= cpu_seconds(pid) + cpu_seconds(child)
    ended = family_cpu_seconds(pid) - cpu_seconds(pid) - cpu_seconds(child)
    assert ended > 0.02


def test_a_family_has_the_threads_of_all_its_processes(parent: tuple[int, int]) -> None:
    pid, child = parent
    wait_until(lambda: len(set(_family(pid))) >= 3, "the second thread has begun")
    assert {pid, child} <= set(_family(pid))


@pytest.mark.parametrize("pid", [None, GONE])
def test_of_a_process_that_is_not_there_nothing_is_told(pid: int | None) -> None:
    assert cpu_seconds(pid) == family_cpu_seconds(pid) == memory_mb(pid) == 0.0


def test_threads_of_a_process_that_is_not_there_are_none() -> None:
    assert list(_family(GONE)) == []


def test_memory_is_in_millions_of_bytes() -> None:
    """Python alone takes some megabytes, and this process holds a hundred more."""
    before_mb = memory_mb(os.getpid())
    kept = b"x" * 100_000_000
    assert 90 < memory_mb(os.getpid()) - before_mb < 200
    assert kept


def test_a_child_is_ended_by_its_own_id_and_tells_how_it_ended(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = "import sys; print('begun', flush=True); sys.stdin.read(); sys.exit(3)"
    child = Child("a program", [sys.executable, "-c", program], os.environ, log)
    wait_until(lambda: "begun" in log.read_text(), "it has begun")
    child.check()
    assert not child.ended()
    assert child.stop() < 30
    assert child.ended()
    with pytest.raises(ProcessFailedError, match="a program ended with -15:\nbegun"):
        child.check()


def test_a_command_that_fails_is_told_with_what_it_printed() -> None:
    assert run_to_end("one", [sys.executable, "-c", "print(1)"], os.environ) == "1\n"
    command = [sys.executable, "-c", "import sys; print('why'); sys.exit(4)"]
    assert run_to_end("two", command, os.environ, well=(0, 4)) == "why\n"
    with pytest.raises(ProcessFailedError, match="two ended with 4:\nwhy"):
        run_to_end("two", command, os.environ)
