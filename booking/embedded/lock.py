"""One application on one data directory, and no server outliving it unseen.

Two ``flock`` files. ``application.lock`` is held by the application alone and vanishes with it, so
finding it taken for longer than a death takes means a living application. ``servers.lock`` is
inherited by the guardian and by every server process, so finding only that one taken means that
the servers of a dead application are still stopping: waiting helps. Once both are ours, any pid
file lying around is stale.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from booking.embedded.errors import EmbeddedServersError

SERVERS_STOP_MAX_S = 20.0
"""How long a start waits for the servers of a dead application: the guardian's slowest stop is
15 s (10 s fast, 3 s immediate, 2 s kill), and initdb on a slow disk takes a few seconds."""

DEATH_MAX_S = 1.0
"""How long a killed application may take to be gone: the kernel lets go of its lock only once all
its memory is freed, which takes a moment on a busy machine. A second start is refused this late."""

_POLL_S = 0.02


class DataDirectoryLock:
    """Both locks of one data directory."""

    def __init__(self, application_fd: int, servers_fd: int) -> None:
        self._application_fd = application_fd
        self.servers_fd = servers_fd
        """To be passed on to every process that uses the directory."""

    @classmethod
    def acquire(cls, data_dir: Path, progress: Callable[[str], None]) -> DataDirectoryLock:
        """Take both locks. :class:`EmbeddedServersError` when somebody else has the directory."""
        application_fd = _open(data_dir / "application.lock")
        try:
            _wait_for_application(data_dir, application_fd)
            os.ftruncate(application_fd, 0)
            os.pwrite(application_fd, f"{os.getpid()}\n".encode(), 0)
            servers_fd = _open(data_dir / "servers.lock")
            try:
                _wait_for_servers(data_dir, servers_fd, progress)
            except BaseException:
                os.close(servers_fd)
                raise
        except BaseException:
            os.close(application_fd)
            raise
        return cls(application_fd, servers_fd)

    def release(self) -> None:
        """Give up both. The servers' lock stays taken while any server process lives."""
        os.close(self.servers_fd)
        os.close(self._application_fd)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _in_use(data_dir: Path, application_fd: int) -> str:
    written = os.pread(application_fd, 32, 0).decode("ascii", "replace").strip()
    holder = f" (pid {written})" if written.isdigit() else ""
    return (
        f"the data directory {data_dir} is in use by another booking{holder}: stop that one, or "
        f"name another directory with --data"
    )


def _wait_for_application(data_dir: Path, application_fd: int) -> None:
    deadline = time.monotonic() + DEATH_MAX_S
    while not _try_lock(application_fd):
        if time.monotonic() > deadline:
            raise EmbeddedServersError(_in_use(data_dir, application_fd))
        time.sleep(_POLL_S)


def _wait_for_servers(data_dir: Path, servers_fd: int, progress: Callable[[str], None]) -> None:
    deadline = time.monotonic() + SERVERS_STOP_MAX_S
    told = False
    while not _try_lock(servers_fd):
        if not told:
            progress("waiting for the servers of an earlier start to stop")
            told = True
        if time.monotonic() > deadline:
            raise EmbeddedServersError(_orphans(data_dir))
        time.sleep(_POLL_S)


def _orphans(data_dir: Path) -> str:
    try:
        pid = (data_dir / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0]
    except OSError:
        pid = ""
    known = f" (PostgreSQL is pid {pid}: kill -INT {pid})" if pid.isdigit() else ""
    return f"servers of an earlier start still run on {data_dir}{known}: stop them first"
