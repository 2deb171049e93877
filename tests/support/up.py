"""`booking up` as a process, with what it has said, and plain calls of what it serves."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.processes import processes_naming, python, wait_until

READY_MAX_S = 60.0
"""The service aims at 3 s; a machine that runs other tests too may need more."""


class Running:
    """A `booking up` and everything it has said so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def said(self) -> str:
        return "".join(self.lines)

    @property
    def url(self) -> str:
        found = re.search(r"^  service +(http://\S+)", self.said, re.MULTILINE)
        assert found, self.said
        return found[1]

    def wait_for(self, text: str, limit_s: float = READY_MAX_S) -> None:
        def has_come() -> bool:
            assert self.process.poll() is None or text in self.said, self.said
            return text in self.said

        wait_until(has_come, f"{text!r} is said; said so far:\n{self.said}", limit_s)

    def pids(self) -> list[int]:
        return [int(pid) for pid in re.findall(r"\(pid (\d+)\)", self.said)]

    def end(self, number: signal.Signals) -> int:
        """Send a signal to the command alone and wait for its exit status."""
        self.process.send_signal(number)
        status = self.process.wait(40)
        self._reader.join(10)
        return status


@contextmanager
def up(data_dir: Path, *options: str, environ: dict[str, str] | None = None) -> Iterator[Running]:
    command = ("-P", "-m", "booking.cli.main", "up", "--port", "0", "--data", str(data_dir))
    with python(*command, *options, environ=environ) as process:
        running = Running(process)
        yield running
        if process.poll() is None:
            running.end(signal.SIGTERM)
    wait_until(lambda: not processes_naming(data_dir), f"no process uses {data_dir}")


@contextmanager
def ready(data_dir: Path, *options: str, **more: Any) -> Iterator[Running]:
    with up(data_dir, *options, **more) as running:
        running.wait_for("Ctrl-C stops everything")
        yield running


def run_cli(*arguments: str, environ: dict[str, str] | None = None) -> tuple[int, str]:
    with python("-P", "-m", "booking.cli.main", *arguments, environ=environ) as process:
        said, _ = process.communicate(timeout=40)
        return process.returncode, said


def shell(script: str) -> str:
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=40)
    assert done.returncode == 0, done.stderr
    return done.stdout


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def get(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=10) as response:
        answer: dict[str, Any] = json.load(response)
        return answer
