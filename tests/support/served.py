"""``booking serve`` as a process that tests start, kill, freeze and start again on one port."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random

from booking_client import AsyncBooking, Unreachable
from tests.support.processes import python_environ
from tests.support.service import SECRET

PORTS = range(20_000, 30_000)
"""Below the range that systems give to outgoing connections: while the service is down, a client
that tries again could otherwise be given the service's own port."""

READY_MAX_S = 30.0
"""A start takes about a second; a machine that runs other tests too may need more."""
SHOWN_MAX = 20_000
"""Characters of the log shown with a failure."""
_POLL_S = 0.02


def free_port() -> int:
    """A port that nobody listens on, out of :data:`PORTS`."""
    draw = Random()  # of the system's entropy: test runs beside each other must not draw the same
    for _ in range(100):
        port = draw.choice(PORTS)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise AssertionError("no free port found")


class Served:
    """One instance as a process. It may be started again after it ended."""

    def __init__(self, environ: Mapping[str, str], log: Path) -> None:
        self.environ = dict(environ)
        self.name = environ["BOOKING_INSTANCE"]
        self.port = int(environ["BOOKING_PORT"])
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def said(self) -> str:
        """Everything that it has printed, over all its starts."""
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def launch(self) -> None:
        """Start it without waiting until it serves."""
        assert not self.running
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "booking.cli.main", "serve"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=python_environ(self.environ),
                cwd="/",
                start_new_session=True,
            )

    async def start(self) -> None:
        """Start it and wait until it is ready."""
        self.launch()
        await self.ready()

    async def ready(self) -> None:
        """Wait until ``/readyz`` is fine; fails at once when the process ends."""
        end = asyncio.get_running_loop().time() + READY_MAX_S
        async with AsyncBooking(self.url, timeout_s=2) as booking:
            while not await self._is_ready(booking):
                assert self.running, self.said
                assert asyncio.get_running_loop().time() < end, self.said
                await asyncio.sleep(_POLL_S)

    async def _is_ready(self, booking: AsyncBooking) -> bool:
        try:
            return (await booking.request("GET", "/readyz")).status == 200
        except Unreachable:
            return False

    async def is_ready(self) -> bool:
        """What ``/readyz`` says now."""
        async with AsyncBooking(self.url, timeout_s=2) as booking:
            return await self._is_ready(booking)

    def kill(self) -> None:
        """As a crash or the system would: kill -9."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    async def end(self, within_s: float = 30.0) -> int:
        """SIGTERM; the exit status. Fails if it takes longer than ``within_s``."""
        self.process.terminate()
        return await self.ended(within_s)

    async def ended(self, within_s: float = 30.0) -> int:
        """Wait for the end of the process; its exit status."""
        end = asyncio.get_running_loop().time() + within_s
        while self.running:
            assert asyncio.get_running_loop().time() < end, f"still there after {within_s} s"
            await asyncio.sleep(_POLL_S)
        return self.process.returncode


@contextmanager
def served(database_url: str, redis_url: str, directory: Path, **settings: str) -> Iterator[Served]:
    """An instance that has not been started yet, killed at the end if it still runs."""
    name = settings.get("BOOKING_INSTANCE", "test")
    port = free_port()
    environ = {
        "BOOKING_DATABASE_URL": database_url,
        "BOOKING_REDIS_URL": redis_url,
        "BOOKING_TOKEN_SECRET": SECRET,
        "BOOKING_HOST": "127.0.0.1",
        "BOOKING_PORT": str(port),
        "BOOKING_INSTANCE": name,
        "BOOKING_QUEUE_MAX_ACTIVE": "10000",
        "BOOKING_LOG": "text",
    }
    instance = Served(environ | settings, directory / f"{name}-{port}.log")
    try:
        yield instance
    except BaseException:
        print(instance.said[-SHOWN_MAX:])  # pytest shows it with the failure
        raise
    finally:
        if instance.running:
            instance.kill()
