"""Starting real processes in tests and looking at what they leave behind."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

REPO = Path(__file__).parent.parent.parent

WAIT_MAX_S = 30.0
"""For anything that normally takes under a second, on a machine that does other things too."""


def wait_until(condition: Callable[[], bool], what: str, limit_s: float = WAIT_MAX_S) -> None:
    """Poll until the condition holds; fails with ``what`` after the limit."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit_s:g} s: {what}"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended but is not yet collected does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return bool(state.stdout.strip()) and not state.stdout.lstrip().startswith("Z")


def processes_naming(path: Path) -> list[str]:
    """Command lines of running processes that mention ``path``."""
    listing = subprocess.run(["ps", "-A", "-o", "command="], capture_output=True, text=True)
    return [line for line in listing.stdout.splitlines() if str(path) in line]


def python_environ(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment without anything of BOOKING's, able to import the project."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BOOKING_")}
    kept.pop("PORT", None)
    kept["PYTHONPATH"] = os.pathsep.join((str(REPO), str(REPO / "http")))
    return kept | dict(extra or {})


async def outcome(*command: str | Path, within_s: float) -> tuple[int, str]:
    """Run a program to its end: its exit status, and what it printed, complaints as well. It is
    killed if it takes longer."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), within_s)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, said.decode()


@contextmanager
def python(
    *arguments: str, environ: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A Python process whose output can be read; killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=python_environ(environ),
        cwd="/",
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
