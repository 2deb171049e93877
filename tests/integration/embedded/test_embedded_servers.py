"""The private servers as an application uses them, and as it leaves them when it is killed."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis

from booking.embedded import EmbeddedServers, EmbeddedServersError, default_data_dir
from tests.support.processes import is_alive, processes_naming, python, wait_until
from tests.support.servers import run, temporary_data_dir

APPLICATION = """
import json, sys
from pathlib import Path
from booking.embedded import EmbeddedServers
servers = EmbeddedServers.start(Path(sys.argv[1]), durable=False)
print(json.dumps([servers.pids, servers.database_url]), flush=True)
sys.stdin.read()
servers.stop()
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with temporary_data_dir() as path:
        yield path


@contextmanager
def started(data_dir: Path, **options: Any) -> Iterator[EmbeddedServers]:
    servers = EmbeddedServers.start(data_dir, durable=False, **options)
    try:
        yield servers
    finally:
        servers.stop()


async def _query(url: str, text: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(text)
    finally:
        await connection.close()


def query(servers: EmbeddedServers, text: str) -> Any:
    return run(_query(servers.database_url, text))


def expect_nothing_left(data_dir: Path) -> None:
    wait_until(lambda: not processes_naming(data_dir), f"no process uses {data_dir}")


def test_both_servers_answer_and_are_gone_after_stop(data_dir: Path) -> None:
    with started(data_dir) as servers:
        pids = dict(servers.pids)
        assert query(servers, "SELECT 1") == 1
        with redis.Redis.from_url(servers.redis_url) as client:
            assert client.ping()
        assert set(pids) == {"guardian", "postgres", "valkey"}
        assert servers.news() == []
    assert [name for name, pid in pids.items() if is_alive(pid)] == []
    assert processes_naming(data_dir) == []


def test_the_cluster_does_not_depend_on_the_callers_environment(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "tr_TR.ISO-8859-9")
    monkeypatch.setenv("TZ", "Asia/Seoul")
    monkeypatch.setenv("PGOPTIONS", "-c work_mem=nonsense")
    with started(data_dir) as servers:
        monkeypatch.undo()
        row = """SELECT pg_encoding_to_char(encoding) || ' ' || coalesce(datlocale, datcollate)
                 || ' ' || current_setting('TimeZone') || ' ' || current_setting('listen_addresses')
                 FROM pg_database WHERE datname = current_database()"""
        assert query(servers, row) == "UTF8 C.UTF-8 UTC "


def test_data_survives_a_stop(data_dir: Path) -> None:
    with started(data_dir) as servers:
        query(servers, "CREATE TABLE kept AS SELECT 42 AS answer")
    with started(data_dir) as servers:
        assert query(servers, "SELECT answer FROM kept") == 42


def test_commits_are_durable_unless_asked_otherwise(data_dir: Path) -> None:
    servers = EmbeddedServers.start(data_dir)
    try:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert query(servers, f"SHOW {setting}") == "on"
    finally:
        servers.stop()


def test_nobody_else_can_enter_the_sockets_or_the_data(data_dir: Path) -> None:
    with started(data_dir) as servers:
        for path in (servers.sockets, data_dir / "postgres"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_second_start_is_refused_with_the_pid_of_the_first(data_dir: Path) -> None:
    with python("-c", APPLICATION, str(data_dir)) as application:
        assert application.stdout is not None
        application.stdout.readline()
        with pytest.raises(EmbeddedServersError, match=f"in use .*pid {application.pid}\\b"):
            EmbeddedServers.start(data_dir, durable=False)


def test_killing_the_application_stops_the_servers(data_dir: Path) -> None:
    """A restart on the same data needs no repair."""
    with python("-c", APPLICATION, str(data_dir)) as application:
        assert application.stdout is not None
        pids, url = json.loads(application.stdout.readline())
        run(_query(url, "CREATE TABLE kept AS SELECT 42 AS answer"))
        application.kill()
        with started(data_dir) as servers:
            assert not any(is_alive(pid) for pid in pids.values())
            assert query(servers, "SELECT answer FROM kept") == 42
    expect_nothing_left(data_dir)


def test_killing_the_application_leaves_no_process(data_dir: Path) -> None:
    with python("-c", APPLICATION, str(data_dir)) as application:
        assert application.stdout is not None
        pids, _ = json.loads(application.stdout.readline())
        application.kill()
        wait_until(lambda: not any(map(is_alive, pids.values())), "the servers stop", 10)
    expect_nothing_left(data_dir)


@pytest.mark.skipif("sys.platform != 'linux'", reason="needs a parent-death signal")
def test_killing_the_application_and_the_guardian_leaves_no_process(data_dir: Path) -> None:
    with python("-c", APPLICATION, str(data_dir)) as application:
        assert application.stdout is not None
        pids, _ = json.loads(application.stdout.readline())
        os.kill(pids["guardian"], signal.SIGKILL)
        application.kill()
        wait_until(lambda: not any(map(is_alive, pids.values())), "the servers stop", 10)
    expect_nothing_left(data_dir)


def test_ctrl_c_to_the_process_group_does_not_reach_the_servers(data_dir: Path) -> None:
    with python("-c", APPLICATION, str(data_dir)) as application:
        assert application.stdout is not None
        pids, url = json.loads(application.stdout.readline())
        assert {os.getsid(pid) for pid in pids.values()} == {pids["guardian"]}
        assert os.getpgid(application.pid) not in {os.getpgid(pid) for pid in pids.values()}
        assert run(_query(url, "SELECT 1")) == 1


def test_a_server_that_dies_is_started_again_and_told_of(data_dir: Path) -> None:
    with started(data_dir) as servers:
        query(servers, "CREATE TABLE kept AS SELECT 42 AS answer")
        first = servers.pids["postgres"]
        os.kill(first, signal.SIGKILL)
        said: list[str] = []

        def is_back() -> bool:
            said.extend(servers.news())
            return servers.pids.get("postgres", first) != first

        wait_until(is_back, "PostgreSQL is started again")
        assert said == ["postgres ended with status -9, starting it again"]

        def answers() -> bool:
            try:
                return bool(query(servers, "SELECT answer FROM kept") == 42)
            except (OSError, asyncpg.PostgresError):
                servers.news()
                return False

        wait_until(answers, "PostgreSQL answers again")


def test_a_start_killed_during_initdb_is_repeated_from_scratch(data_dir: Path) -> None:
    with python("-c", APPLICATION, str(data_dir)) as application:
        half = data_dir / "postgres.new"
        wait_until((half / "base").exists, "initdb is at work")
        application.kill()
    assert not (data_dir / "postgres").exists()
    with started(data_dir) as servers:
        assert query(servers, "SELECT 1") == 1
        assert not half.exists()
    expect_nothing_left(data_dir)


def test_a_stale_pid_file_with_a_recycled_pid_is_no_obstacle(data_dir: Path) -> None:
    with started(data_dir):
        written = (data_dir / "postgres" / "postmaster.pid").read_text().split("\n", 1)[1]
    stale = data_dir / "postgres" / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{written}")
    with started(data_dir) as servers:
        assert query(servers, "SELECT 1") == 1


def test_a_long_path_gets_its_sockets_elsewhere_and_leaves_nothing_there(data_dir: Path) -> None:
    long_dir = data_dir / ("d" * 90)
    with started(long_dir) as servers:
        assert long_dir not in servers.sockets.parents
        assert stat.S_IMODE(servers.sockets.stat().st_mode) == 0o700
        assert query(servers, "SELECT 1") == 1
        with redis.Redis.from_url(servers.redis_url) as client:
            assert client.ping()
    assert not servers.sockets.exists()


def test_paths_with_spaces_and_percent_signs_work(data_dir: Path) -> None:
    with started(data_dir / "a b%20c") as servers:
        assert query(servers, "SELECT 1") == 1
        with redis.Redis.from_url(servers.redis_url) as client:
            assert client.ping()


def test_given_servers_are_used_instead_of_private_ones(data_dir: Path) -> None:
    given = "postgresql://elsewhere/db"
    with started(data_dir, database_url=given) as servers:
        assert servers.database_url == given
        assert set(servers.pids) == {"guardian", "valkey"}
    assert not (data_dir / "postgres").exists()


def test_data_of_another_version_is_refused_in_one_line(data_dir: Path) -> None:
    with started(data_dir):
        pass
    (data_dir / "postgres" / "PG_VERSION").write_text("9\n")
    with pytest.raises(EmbeddedServersError, match=r"made by PostgreSQL 9 .* --data") as refused:
        EmbeddedServers.start(data_dir, durable=False)
    assert "\n" not in str(refused.value)


def test_a_server_that_cannot_start_says_why_and_leaves_nothing(data_dir: Path) -> None:
    with started(data_dir):
        pass
    (data_dir / "postgres" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(EmbeddedServersError, match="postgres does not start") as refused:
        EmbeddedServers.start(data_dir, durable=False)
    assert "postgres.log" in str(refused.value)
    assert "\n" not in str(refused.value)
    expect_nothing_left(data_dir)


def test_other_binaries_can_be_named(data_dir: Path) -> None:
    with pytest.raises(EmbeddedServersError, match="no bin/postgres"):
        EmbeddedServers.start(data_dir, durable=False, postgres_dir=data_dir)


def test_the_default_place_of_an_ordinary_user_follows_the_xdg_rules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert default_data_dir() == Path("/home/ada/.local/share/booking")
    monkeypatch.setenv("XDG_DATA_HOME", "/elsewhere")
    assert default_data_dir() == Path("/elsewhere/booking")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert default_data_dir() == Path("/home/ada/.local/share/booking")


def test_the_default_place_of_root_is_outside_its_closed_home(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_data_dir() == Path("/var/lib/booking")


def test_the_guardian_needs_nothing_but_the_standard_library(data_dir: Path) -> None:
    from booking.embedded import guardian

    done = subprocess.run(
        ["python3", "-I", "-S", guardian.__file__], stdin=subprocess.DEVNULL, timeout=30
    )
    assert done.returncode == 0
