"""The data directory of one application: its locks, its sockets, its logs.

``application.lock`` is held by the application alone: taken for longer than a death takes, it means
a living one. ``servers.lock`` is inherited by the guardian and every server process: taken alone,
it means that the servers of a dead application are still stopping. Once both are ours, pid files
and sockets lying around are stale.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from booking.embedded.account import Account, choose_account
from booking.embedded.errors import EmbeddedServersError, causes

SERVERS_STOP_MAX_S = 20.0
"""For the servers of a dead application: the guardian's slowest stop is 15 s; initdb takes some."""
DEATH_MAX_S = 1.0
"""For a killed application to be gone: the kernel first frees its memory."""
LOG_BYTES_MAX = 10_000_000
"""A server's log is set aside once at a start when it is longer, so two such files at most."""
SOCKET_PATH_MAX_BYTES = 103 if sys.platform == "darwin" else 107
"""The kernel's limit: ``sun_path`` is 104 bytes on macOS and 108 on Linux, with a final zero."""
LONGEST_NAME_BYTES = 23
"""What PostgreSQL may add to its socket directory: a slash, ``.s.PGSQL.NNNNN`` and its lock."""
CLEAN_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
"""All that a server gets: the caller's ``LC_ALL``, ``TZ`` and ``PG*`` change how it behaves."""

_LOG_TAIL_BYTES = 4_096
"""Of a log, where the cause of an end is looked for: some forty lines."""
_POLL_S = 0.02

Progress = Callable[[str], None]
"""Is told each step that takes a while, in words."""


@dataclass(frozen=True)
class Site:
    """A data directory that is ours alone, and what servers are prepared with in it."""

    data_dir: Path
    account: Account
    sockets: Path
    """The servers' sockets. Its mode 0700 is the access control."""
    application_fd: int
    servers_fd: int
    """To be passed on to every process that uses the directory."""
    durable: bool
    progress: Progress

    @classmethod
    def occupy(cls, data_dir: Path, *, durable: bool, progress: Progress) -> Site:
        """Make the directory if there is none, let the servers' account in, and lock it.
        :class:`EmbeddedServersError` when it cannot be used, or somebody else has it."""
        try:
            data_dir.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
            account = choose_account(data_dir, data_dir / "postgres")
            _let_in(account, data_dir)
            with ExitStack() as undo:
                application = _application_lock(data_dir, undo)
                servers = _servers_lock(data_dir, undo, progress)
                sockets = _socket_directory(data_dir, account)
                undo.pop_all()
        except OSError as error:
            raise EmbeddedServersError(
                f"cannot use the data directory {data_dir}: {error.strerror or error}"
            ) from error
        return cls(data_dir, account, sockets, application, servers, durable, progress)

    @property
    def sockets_elsewhere(self) -> Path | None:
        """The sockets' directory if it is a temporary one, to be removed afterwards."""
        return None if self.data_dir in self.sockets.parents else self.sockets

    def release(self) -> None:
        """Give up both locks. The servers' lock stays taken while any server process lives."""
        os.close(self.servers_fd)
        os.close(self.application_fd)

    def abandon(self) -> None:
        """Give up a directory in which no server was started."""
        if self.sockets_elsewhere is not None:
            shutil.rmtree(self.sockets_elsewhere)
        self.release()

    def server_spec(
        self, name: str, argv: Sequence[str], stages: Sequence[tuple[str, float]]
    ) -> dict[str, Any]:
        """What the guardian runs. ``stages``: signals to stop it, and the seconds for each."""
        log = self.data_dir / f"{name}.log"
        if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
            log.replace(log.with_suffix(".log.1"))
        return {
            "name": name,
            "argv": argv,
            "env": CLEAN_ENVIRONMENT,
            "log": str(log),
            "identity": self.account.identity,
            "stages": stages,
        }

    def why(self, name: str) -> str:
        """What a server's log says last of what went wrong."""
        path = self.data_dir / f"{name}.log"
        try:
            said = path.read_bytes()[-_LOG_TAIL_BYTES:].decode("utf-8", "replace")
        except FileNotFoundError:
            said = ""
        cause = causes(said)[-1]
        return f"{cause} (see {path})" if cause else f"see {path}"


def _let_in(account: Account, data_dir: Path) -> None:
    """Make sure the account can enter; only the data directory itself is ever changed."""
    if account.can("-x", data_dir):
        return
    if data_dir.stat().st_uid == os.geteuid():
        data_dir.chmod(0o711)
    if not account.can("-x", data_dir):
        raise EmbeddedServersError(
            f"the account {account.name!r}, which has to run PostgreSQL for root, cannot enter "
            f"{data_dir}: name a directory outside closed ones with --data"
        )


def _application_lock(data_dir: Path, undo: ExitStack) -> int:
    fd = _open(data_dir / "application.lock", undo)
    if not _locked(fd, DEATH_MAX_S):
        written = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
        holder = f" (pid {written})" if written.isdigit() else ""
        raise EmbeddedServersError(
            f"the data directory {data_dir} is in use by another booking{holder}: stop that one, "
            f"or name another directory with --data"
        )
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def _servers_lock(data_dir: Path, undo: ExitStack, progress: Progress) -> int:
    fd = _open(data_dir / "servers.lock", undo)
    if _locked(fd, 0.0):
        return fd
    progress("waiting for the servers of an earlier start to stop")
    if _locked(fd, SERVERS_STOP_MAX_S):
        return fd
    try:
        pid = (data_dir / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0]
    except OSError:
        pid = ""
    known = f" (PostgreSQL is pid {pid}: kill -INT {pid})" if pid.isdigit() else ""
    raise EmbeddedServersError(
        f"servers of an earlier start still run on {data_dir}{known}: stop them first"
    )


def _open(path: Path, undo: ExitStack) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    undo.callback(os.close, fd)
    return fd


def _locked(fd: int, within_s: float) -> bool:
    end_s = time.monotonic() + within_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= end_s:
                return False
        time.sleep(_POLL_S)


def _socket_directory(data_dir: Path, account: Account) -> Path:
    """Beside the data if the path is short enough, else in the temporary folder."""
    path = data_dir / "run"
    if _fits(path):
        # Under the locks nobody uses it, so sockets in it are left over from a crash.
        if path.exists():
            shutil.rmtree(path)
        path.mkdir(mode=0o700)
    else:
        parent = Path(tempfile.gettempdir())
        if not _fits(parent / "booking-12345678"):
            parent = Path("/tmp")  # noqa: S108 - mkdtemp makes an unguessable 0700 directory in it
        path = Path(tempfile.mkdtemp(prefix="booking-", dir=parent))
    account.give(path)
    return path


def _fits(directory: Path) -> bool:
    """Whether sockets in this directory stay under the kernel's limit."""
    return len(bytes(directory)) + LONGEST_NAME_BYTES <= SOCKET_PATH_MAX_BYTES
