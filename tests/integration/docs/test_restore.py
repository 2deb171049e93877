"""The commands of docs/how-to/back-up-and-restore.md, on a real PostgreSQL with a real archive, and
what the audit says afterwards."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import asyncpg
import pytest

from booking import audit
from booking.audit.report import render
from booking.embedded.account import Account, choose_account
from booking.embedded.binaries import find_postgres, reachable_postgres
from booking.schema import migrate, parts
from tests.support.api_client import Api, eventually, new_user
from tests.support.catalogues import catalogue, concert, date
from tests.support.house import ROOT
from tests.support.servers import temporary_data_dir
from tests.support.service import start_service

PAGE = (ROOT / "docs" / "how-to" / "back-up-and-restore.md").read_text(encoding="utf-8")
CATALOGUE = catalogue(concert("alpha", date("alpha-1")))
READY_MAX_S = 30.0


def commands(beginning: str) -> str:
    """The one block of shell commands of the page that begins so."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if block.startswith(beginning)]
    return str(found)


class Machine:
    """A PostgreSQL of this test alone, as an account that may run one."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.account: Account = choose_account(directory, directory / "original")
        found = reachable_postgres(find_postgres(None), self.account, directory, print)
        self.binaries = found.postgres.parent
        self.archive = self.folder("archive")
        self.sockets = self.folder("s")
        self.url = f"postgresql://booking@/booking?host={self.sockets}"
        self._server: subprocess.Popen[bytes] | None = None

    def folder(self, name: str) -> Path:
        path = self.directory / name
        path.mkdir(mode=0o700)
        self.account.give(path)
        return path

    def shell(self, script: str, **variables: object) -> str:
        """Commands as a person would give them."""
        environment = {name: str(value) for name, value in variables.items()}
        done = subprocess.run(
            ["/bin/sh", "-eu", "-c", script],
            cwd=self.directory,
            env={"PATH": f"{self.binaries}:{os.defpath}", "LC_ALL": "C", **environment},
            capture_output=True,
            text=True,
            timeout=120,
            **self.account.identity,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def initialise(self, data: Path) -> None:
        self.shell(f"initdb --pgdata {data} --username booking --auth trust --no-sync >/dev/null")
        archiving = re.search(r"^archive_mode = on\n.*?^(?=```)", PAGE, re.MULTILINE | re.DOTALL)
        assert archiving is not None, "the page has lost its settings"
        settings = archiving.group().replace("/archive/", f"{self.archive}/")
        with (data / "postgresql.conf").open("a") as file:
            file.write(
                f"{settings}listen_addresses = ''\nunix_socket_directories = '{self.sockets}'\n"
            )

    async def start(self, data: Path, database: str) -> None:
        """Start it and wait until it is out of recovery."""
        assert self._server is None
        with (self.directory / "server.log").open("ab") as log:
            self._server = self._launched(data, log)
        end = asyncio.get_running_loop().time() + READY_MAX_S
        while not await self._is_primary(database):
            assert self._server.poll() is None, self.log
            assert asyncio.get_running_loop().time() < end, self.log
            await asyncio.sleep(0.05)

    def _launched(self, data: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [self.binaries / "postgres", "-D", data],
            stdout=log,
            stderr=log,
            cwd=self.directory,
            env={"LC_ALL": "C", "PATH": os.defpath},
            **self.account.identity,
        )

    async def _is_primary(self, database: str) -> bool:
        try:
            return not await self.ask("SELECT pg_is_in_recovery()", database)
        except (OSError, asyncpg.PostgresError):
            return False  # not listening, or not letting anybody in yet

    async def ask(self, statement: str, database: str = "booking") -> Any:
        connection = await asyncpg.connect(self.url.replace("/booking?", f"/{database}?"))
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    def stop(self) -> None:
        """As the loss of the machine would."""
        if self._server is not None:
            self._server.send_signal(signal.SIGQUIT)
            self._server.wait(30)
            self._server = None

    @property
    def log(self) -> str:
        return (self.directory / "server.log").read_text()[-3_000:]


@contextmanager
def machine() -> Iterator[Machine]:
    with temporary_data_dir() as directory:
        own = directory / "m"
        own.mkdir(mode=0o755)
        made = Machine(own)
        made.account.give(own)
        try:
            yield made
        finally:
            made.stop()


async def sold(api: Api, seat: str) -> str:
    """A whole booking; the user."""
    user, token = await api.enter(new_user())
    assert (await api.charge(user, 1_000)).status == 200
    assert (await api.reserve(token, seat)).status == 201
    assert (await api.pay(token, seat)).status == 201
    return user


async def archived(one: Machine) -> None:
    """Wait until everything up to now is in the archive."""
    segment = await one.ask("SELECT pg_walfile_name(pg_switch_wal())")
    end = asyncio.get_running_loop().time() + READY_MAX_S
    while not (one.archive / segment).exists():
        assert asyncio.get_running_loop().time() < end, one.log
        await asyncio.sleep(0.05)


async def _is_restored(url: str) -> bool:
    """Restored to a moment when an instance ran, a journal looks for some seconds as if it did."""
    try:
        return await parts.restored([url])
    except migrate.SchemaMismatch:
        return False


@pytest.mark.timeout(180)
async def test_a_restore_to_a_moment_keeps_all_before_it_and_passes_the_audit(
    redis_url: str,
) -> None:
    with machine() as one:
        original, restored = one.directory / "original", one.directory / "restored"
        one.initialise(original)
        await one.start(original, "postgres")
        await one.ask("CREATE DATABASE booking", "postgres")
        await migrate.migrate(one.url)

        service = await start_service(one.url, redis_url, CATALOGUE, {})
        before_backup = await sold(service.api, "alpha-1-1")
        backup = one.directory / "backup"
        one.shell(commands("pg_basebackup"), BOOKING_DATABASE_URL=one.url, BACKUP=backup)
        after_backup = await sold(service.api, "alpha-1-2")
        kept_user, kept_token = await service.api.enter(new_user())
        moment = await one.ask("SELECT clock_timestamp()::text")
        too_late = await sold(service.api, "alpha-1-3")
        _, lost_token = await service.api.enter(new_user())
        await archived(one)
        assert (await audit.run(one.url)).ok
        await service.stop()
        one.stop()

        places = {"BACKUP": backup, "RESTORED": restored, "ARCHIVE": one.archive}
        one.shell(commands("cp -R"), UNTIL=moment, **places)
        await one.start(restored, "booking")

        report = await audit.run(one.url)
        assert report.ok, render(report)
        assert "booking restore-done" in PAGE
        await eventually(lambda: _is_restored(one.url))
        service = await start_service(one.url, redis_url, CATALOGUE, {})
        try:
            api = service.api
            await numbers_are_given_again(api, lost_token)
            assert (await api.reserve(kept_token, "alpha-1-4")).code == "token_expired"
            again = (await api.issue(kept_user)).data["token"]
            assert (await api.reserve(again, "alpha-1-4")).status == 201, "the place was kept"
            for user in (before_backup, after_backup):
                assert [p["status"] for p in await payments(api, user)] == ["COMPLETED"]
            assert await payments(api, too_late) == []
            await sold(api, "alpha-1-3")
            _, token = await api.enter()
            for seat in ("alpha-1-1", "alpha-1-2", "alpha-1-3"):
                assert (await api.reserve(token, seat)).code == "seat_unavailable"
        finally:
            await service.stop()
        report = await audit.run(one.url)
        assert report.ok, render(report)


async def numbers_are_given_again(api: Api, lost_token: str) -> None:
    """Those of the lost time, to others; its tokens open nothing."""
    for _ in range(3):
        await api.enter(new_user())
    for answer in (
        await api.status(lost_token),
        await api.dates(lost_token),
        await api.reserve(lost_token, "alpha-1-5"),
        await api.pay(lost_token, "alpha-1-5"),
    ):
        assert answer.code == "token_expired", answer


async def payments(api: Api, user: str) -> Any:
    return (await api.call("GET", "/payments", userId=user)).data["items"]
