"""PostgreSQL under Patroni and etcd on this machine: two nodes, of which one is the primary.

A node can be killed as a machine that loses power, started again, and cut off so that it stands by
without getting anything.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
import yaml

from booking.embedded.account import Account, choose_account
from tests.support.served import free_port
from tests.support.servers import temporary_data_dir

UP_MAX_S = 90.0
"""For a node to be made and to stand by; on a quiet machine it takes five seconds."""
TTL_S = 5
"""A primary that has not renewed its key for so long is replaced. Patroni's default is 30."""
REPLICATOR = "replicator"


def programs() -> None:
    """Skip the test without Patroni and etcd; in continuous integration it fails there."""
    missing = [name for name in ("patroni", "etcd") if shutil.which(name) is None]
    missing += [] if _postgres() else ["postgresql"]
    if missing:
        words = f"{' and '.join(missing)} not installed (Debian and Ubuntu: {INSTALL})"
        if os.environ.get("CI"):
            pytest.fail(words)
        pytest.skip(words)


INSTALL = "apt install patroni python3-etcd etcd-server postgresql-15"


def _postgres() -> Path | None:
    """Where Debian keeps the newest PostgreSQL's programs, which are more than a server."""
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


class Node:
    """One PostgreSQL and the Patroni beside it."""

    def __init__(self, name: str, directory: Path, account: Account, etcd: int) -> None:
        self.name, self.port, self.api = name, free_port(), free_port()
        self.log = directory / f"{name}.log"
        self._data, self._account = directory / name, account
        self._config = directory / f"{name}.yml"
        self._patroni: subprocess.Popen[bytes] | None = None
        self._config.write_text(yaml.safe_dump(self._configured(etcd)))

    def _configured(self, etcd: int) -> dict[str, Any]:
        parameters = {
            "fsync": "off",  # as all tests: the death of processes loses nothing that was written
            "max_connections": 100,
            "unix_socket_directories": "",
            "wal_keep_size": "256MB",
        }
        return {
            "scope": "booking",
            "name": self.name,
            "restapi": {
                "listen": f"127.0.0.1:{self.api}",
                "connect_address": f"127.0.0.1:{self.api}",
            },
            "etcd3": {"host": f"127.0.0.1:{etcd}"},
            "bootstrap": {
                "dcs": {
                    "ttl": TTL_S,
                    "loop_wait": 1,
                    "retry_timeout": 2,
                    "maximum_lag_on_failover": 1 << 30,
                    "synchronous_mode": True,
                    "postgresql": {"use_pg_rewind": True, "parameters": parameters},
                },
                "initdb": [
                    {"encoding": "UTF8"},
                    {"locale": "C.UTF-8"},
                    "data-checksums",
                    "no-sync",
                ],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{self.port}",
                "connect_address": f"127.0.0.1:{self.port}",
                "data_dir": str(self._data),
                "bin_dir": str(_postgres()),
                "pgpass": str(self._data.with_suffix(".pgpass")),
                "pg_hba": [
                    "host all all 127.0.0.1/32 trust",
                    "host replication all 127.0.0.1/32 trust",
                ],
                "authentication": {
                    "superuser": {"username": "booking"},
                    "replication": {"username": REPLICATOR},
                },
            },
        }

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._patroni = subprocess.Popen(
                ["patroni", str(self._config)],
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
                start_new_session=True,
                **self._account.identity,
            )

    def kill(self) -> None:
        """As a machine that loses power: everything at once."""
        if self._patroni is None:
            return
        self._patroni.kill()
        self._patroni.wait()
        self._patroni = None
        with suppress(FileNotFoundError, ProcessLookupError, ValueError, IndexError):
            postmaster = int((self._data / "postmaster.pid").read_text().split()[0])
            for pid in (postmaster, *_children(postmaster)):
                os.kill(pid, signal.SIGKILL)

    async def execute(self, *statements: str, database: str = "postgres") -> Any:
        """Run statements on this node; the value of the last."""
        dsn = f"postgresql://booking@127.0.0.1:{self.port}/{database}"
        connection = await asyncpg.connect(dsn, timeout=5)
        try:
            return [await connection.fetchval(statement) for statement in statements][-1]
        finally:
            await connection.close(timeout=5)


class PatroniCluster:
    """Two nodes and their etcd. Made by :func:`patroni_cluster`."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes

    @property
    def database_url(self) -> str:
        """Follows the primary."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"postgresql://booking@{hosts}/booking?target_session_attrs=read-write"

    async def primary(self, among: list[Node] | None = None) -> Node:
        """Whoever takes writes; waits until somebody does."""
        found: list[Node] = []

        async def leads() -> bool:
            for node in among or self.nodes:
                with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    if not await node.execute("SELECT pg_is_in_recovery()"):
                        found.append(node)
            return bool(found)

        await self._until(leads, "there is a primary")
        return found[0]

    async def stands_by(self, primary: Node, *, synchronous: bool) -> None:
        """Wait until the primary has a standby that streams, and that commits wait for if so: then
        etcd has been told as well, without which it is not promoted."""
        query = (
            "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
            f" AND (sync_state <> 'async') = {synchronous}"
        )

        async def streams() -> bool:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                there = bool(await primary.execute(query))
                return there and (not synchronous or await _has_synchronous(primary))
            return False

        await self._until(streams, "there is a standby")

    async def set_synchronous(self, wanted: bool) -> None:
        """Whether commits wait for the standby, by ``synchronous_mode``."""
        url = f"http://127.0.0.1:{(await self.primary()).api}/config"
        async with (
            aiohttp.ClientSession() as session,
            session.patch(url, json={"synchronous_mode": wanted}) as answer,
        ):
            assert answer.status == 200, await answer.text()

    async def has_all(self, primary: Node, standby: Node) -> None:
        """Wait until the standby has what the primary has now."""
        written = await primary.execute("SELECT pg_current_wal_lsn()::text")

        async def replayed() -> bool:
            return bool(
                await standby.execute(f"SELECT pg_last_wal_replay_lsn() >= '{written}'::pg_lsn")
            )

        await self._until(replayed, "the standby has everything")

    async def cut_off(self, primary: Node) -> None:
        """The standby gets nothing more, and the primary does not wait for it."""
        await primary.execute(
            f"ALTER ROLE {REPLICATOR} NOLOGIN",
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_replication",
        )

    async def _until(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        end = time.monotonic() + UP_MAX_S
        while not await condition():
            if time.monotonic() > end:
                said = "\n".join(
                    node.log.read_text("utf-8", "replace")[-4_000:] for node in self.nodes
                )
                raise AssertionError(f"not within {UP_MAX_S:.0f} s: {what}\n{said}")
            await asyncio.sleep(0.1)


@asynccontextmanager
async def patroni_cluster() -> AsyncIterator[PatroniCluster]:
    """Both nodes, with an empty database ``booking`` and a synchronous standby."""
    programs()
    with temporary_data_dir() as directory:
        account = choose_account(directory, directory)
        account.give(directory)
        with _etcd(directory, account) as etcd:
            cluster = PatroniCluster([Node(f"n{n}", directory, account, etcd) for n in (1, 2)])
            try:
                for node in cluster.nodes:
                    node.start()
                primary = await cluster.primary()
                await cluster.stands_by(primary, synchronous=True)
                # There is one at the standby, too, when this returns.
                applied = "SET synchronous_commit = remote_apply"
                await primary.execute(applied, "CREATE DATABASE booking")
                yield cluster
            finally:
                for node in cluster.nodes:
                    node.kill()


@contextmanager
def _etcd(directory: Path, account: Account) -> Iterator[int]:
    """The port of an etcd."""
    port = free_port()
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{free_port()}"
    options = {
        "data-dir": str(directory / "etcd"),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"default={peer}",
    }
    with (directory / "etcd.log").open("wb") as log:
        etcd = subprocess.Popen(
            ["etcd", *(f"--{name}={value}" for name, value in options.items())],
            stdout=log,
            stderr=log,
            cwd="/",
            **account.identity,
        )
    try:
        yield port
    finally:
        etcd.kill()
        etcd.wait()


def _children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            pid, _, rest = stat.read_text().partition(" (")
            if int(rest.rpartition(") ")[2].split()[1]) == parent:
                found.append(int(pid))
    return found


async def _has_synchronous(primary: Node) -> bool:
    """Whether a standby may be promoted without a loss, by what etcd knows."""
    url = f"http://127.0.0.1:{primary.api}/cluster"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        members = (await answer.json())["members"]
    return any(member["role"] in ("sync_standby", "quorum_standby") for member in members)
