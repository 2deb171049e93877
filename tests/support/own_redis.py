"""A Redis of one test's own, to be stopped, started empty, frozen and thawed.

The private servers' guardian would start a killed one again at once; this one stays away for as
long as the test wants.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from booking.embedded import valkey
from booking.embedded.binaries import find_valkey
from tests.support.processes import wait_until
from tests.support.servers import temporary_data_dir


class OwnRedis:
    """On a socket in ``directory``; keeps nothing on disk, so a new start is an empty one."""

    def __init__(self, directory: Path) -> None:
        self.url = f"unix://{valkey.socket_path(directory)}"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert self._process is None
        path = valkey.socket_path(self._directory)
        command = [str(find_valkey()), "--port", "0", "--unixsocket", str(path), "--save", ""]
        self._process = subprocess.Popen(
            [*command, "--dir", str(self._directory)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: valkey.is_ready(self._directory), "Redis answers")

    def stop(self) -> None:
        """At once, as a crash; a frozen one too."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def own_redis() -> Iterator[OwnRedis]:
    """A running one, stopped at the end."""
    with temporary_data_dir() as directory:
        redis = OwnRedis(directory)
        redis.start()
        try:
            yield redis
        finally:
            redis.stop()
