"""The Procfile, run by honcho: several instances on ports of their own, each with its own name."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import REPO, is_alive, python_environ, wait_until
from tests.support.served import free_port
from tests.support.service import SECRET

INSTANCES = 3
SERVING = re.compile(r"serving on 127\.0\.0\.1:(\d+) as (\S+)")


class Honcho:
    """A running honcho and what its processes have said."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line

    @property
    def serving(self) -> dict[str, int]:
        """Name to port."""
        return {name: int(port) for port, name in SERVING.findall(self.said)}

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(40)
        self._reader.join(10)
        return status


@contextmanager
def honcho(port: int, database_url: str, redis_url: str) -> Iterator[Honcho]:
    scripts = Path(sys.executable).parent
    environ = python_environ(
        {
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "BOOKING_DATABASE_URL": database_url,
            "BOOKING_REDIS_URL": redis_url,
            "BOOKING_TOKEN_SECRET": SECRET,
            "BOOKING_HOST": "127.0.0.1",
            "BOOKING_LOG": "text",
        }
    )
    command = [str(scripts / "honcho"), "--no-colour", "start", "-p", str(port)]
    with subprocess.Popen(
        [*command, "-c", f"web={INSTANCES}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environ,
        cwd=REPO,
        start_new_session=True,
    ) as process:
        running = Honcho(process)
        try:
            yield running
        finally:
            if process.poll() is None:
                running.end()


def ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=30) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_honcho_runs_the_procfile_as_instances_of_one_service(
    database_url: str, redis_url: str
) -> None:
    with honcho(free_port(), database_url, redis_url) as running:
        wait_until(
            lambda: len(running.serving) == INSTANCES and all(map(ready, running.serving.values())),
            f"{INSTANCES} instances are ready: {running.said}",
        )
        ports = sorted(running.serving.values())
        assert ports == list(range(ports[0], ports[0] + INSTANCES)), "as honcho counts them"
        pids = [int(name.rpartition("-")[2]) for name in running.serving]
        assert all(map(is_alive, pids)), "a name ends with the process id"
        assert running.end() == 128 + signal.SIGTERM, running.said
        assert running.said.count(" stopped\n") == INSTANCES, running.said
        assert running.said.count("(rc=0)") == INSTANCES, running.said
        assert not any(map(is_alive, pids))
