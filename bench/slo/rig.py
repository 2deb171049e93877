"""``booking up`` under load, and what is broken of it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.processes import Child, ProcessFailedError
from bench.rig import _MAIN, READY_S_MAX, Rig, _ready, free_port

PAUSED_S = 5.0
"""Redis answers nobody for this long, which is longer than a lease lasts; then it is killed."""


class UpRig(Rig):
    """Runs ``booking up`` on servers that the bench has started, so that it knows them."""

    instances = 2

    def start_service(self) -> float:
        """Start ``booking up`` and wait until all its instances serve; the seconds that took. One
        instance where several are not possible."""
        try:
            return self._start_up()
        except ProcessFailedError as error:
            if self.instances == 1 or "--instances 1" not in str(error):
                raise
            self._say("this version runs one instance only")
            self.instances = 1
            return self._start_up()

    def _start_up(self) -> float:
        self.port = free_port()
        command = [sys.executable, "-c", _MAIN, "up", "--no-demo", "--port", str(self.port)]
        command += ["--data", str(self._directory / "up"), "--instances", str(self.instances)]
        environment = {k: v for k, v in self._environment.items() if k != "BOOKING_INSTANCE"}
        log = self._directory / "up.log"
        began = time.monotonic()
        self.service = Child("booking up", command, environment, log)
        while not ("booking is ready" in log.read_text() and _ready(self.port)):
            self.service.check()
            if time.monotonic() - began > READY_S_MAX:
                raise ProcessFailedError(f"booking up is not ready:\n{self.service.tail()}")
            time.sleep(0.01)
        return time.monotonic() - began

    def serving(self) -> list[int]:
        """The process ids of the instances."""
        assert self.service is not None
        return [pid for pid in _descendants(self.service.pid) if " serve " in _command(pid)]

    def kill_instance(self) -> int:
        """kill -9 of one; its process id."""
        pids = self.serving()
        if not pids:
            raise ProcessFailedError("found no instance to kill")
        os.kill(pids[0], signal.SIGKILL)
        return pids[0]

    def pause_redis(self) -> None:
        os.kill(self._valkey, signal.SIGSTOP)

    def kill_redis(self) -> None:
        """What comes after it is empty: its guardian starts a new one."""
        os.kill(self._valkey, signal.SIGKILL)

    @property
    def _valkey(self) -> int:
        assert self.redis_pid is not None, "a Redis of somebody else's is not ours to break"
        return self.redis_pid


def _descendants(pid: int) -> Iterator[int]:
    """Children of all generations, of all threads (Linux)."""
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, tasks.read_text().split()):
            yield child
            yield from _descendants(child)


def _command(pid: int) -> str:
    raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    return raw.replace(b"\0", b" ").decode("utf-8", "replace") + " "
