"""``booking up`` under load, what is broken of it, and a record of what became of each request."""

import asyncio
import os
import signal
import sys
import time

import psutil

from bench.load import Pool, Worker
from bench.processes import ProcessFailedError
from bench.record import Recorder
from bench.rig import MAIN, Rig, free_port, is_ready, wait_until

PAUSED_S = 5.0
"""Redis answers nobody for this long, which is longer than a lease lasts; then it is killed."""
RECONNECT_EVERY_S = 0.02
"""A client that lost its connection tries again this soon, as long as the run lasts."""


class Timeline(Recorder):
    """Every request and booking of one run, with times in seconds from its start: phases are cut
    out afterwards."""

    def __init__(self, start: float, end: float, by_begin: bool = False) -> None:
        super().__init__(start, end, by_begin)
        self.requests: dict[str, list[tuple[float, float]]] = {}
        """By step: when each was sent, and how long its answer took."""
        self.bookings: list[tuple[float, float]] = []
        """When each was due, and how long it took."""
        self.failed_at: list[tuple[float, str]] = []
        """When, and why."""

    def request(self, step: str, status: int, sent: float, now: float) -> None:
        """A request was answered."""
        self.requests.setdefault(step, []).append((sent - self.start, now - sent))

    def unit(self, began: float, now: float) -> None:
        """A booking is done."""
        self.bookings.append((began - self.start, now - began))
        self.last = now

    def failed(self, reason: str) -> None:
        """A booking failed."""
        super().failed(reason)
        self.failed_at.append((time.perf_counter() - self.start, reason))


class PatientPool(Pool):
    """Connections that come back for as long as it takes, and a :class:`Timeline`."""

    recorder_type = Timeline

    async def _reconnect(self, worker: Worker) -> None:
        while not self._closing:
            try:
                await worker.connect()
            except OSError:
                await asyncio.sleep(RECONNECT_EVERY_S)
            else:
                self.idle(worker, time.perf_counter())
                return


class UpRig(Rig):
    """Runs ``booking up`` on servers that the bench has started, so that it knows them."""

    instances = 2
    planned = True

    def start_service(self) -> float:
        """Start ``booking up`` and wait until all its instances serve; the seconds that took."""
        began = time.monotonic()
        self.port = free_port()
        command = [sys.executable, "-c", MAIN, "up", "--no-demo", "--port", str(self.port)]
        command += ["--data", str(self.directory / "up"), "--instances", str(self.instances)]
        self.service = up = self._child(command, "up", {})
        wait_until(up, lambda: "booking is ready" in up.log.read_text() and is_ready(self.port))
        return time.monotonic() - began

    def kill_instance(self) -> int:
        """Kill one with SIGKILL; its process id."""
        for process in psutil.Process(self.running.pid).children(recursive=True):
            if "serve" in process.cmdline():
                process.kill()
                return int(process.pid)
        raise ProcessFailedError("found no instance to kill")

    def pause_redis(self) -> None:
        """Redis answers nobody from now on."""
        os.kill(self._valkey, signal.SIGSTOP)

    def kill_redis(self) -> None:
        """What comes after it is empty: its guardian starts a new one."""
        os.kill(self._valkey, signal.SIGKILL)

    @property
    def _valkey(self) -> int:
        assert self.redis_pid is not None, "a Redis of somebody else's is not ours to break"
        return self.redis_pid
