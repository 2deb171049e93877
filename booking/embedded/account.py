"""Which operating-system account the private servers run as."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from booking.embedded.errors import EmbeddedServersError

FALLBACK_NAMES = ("postgres", "nobody")
"""Accounts tried, in this order, when root starts on a directory that is new or its own."""

_SHELL_TIMEOUT_S = 10.0
"""For one file test in a shell, which takes milliseconds."""


class Identity(TypedDict, total=False):
    """The arguments of :class:`subprocess.Popen` that change who a child process is."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Account:
    """The servers' account. ``switch`` is false when it is our own and nothing has to change."""

    uid: int
    gid: int
    switch: bool

    @property
    def name(self) -> str:
        """Login name, or the number when the account has none."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)

    @property
    def identity(self) -> Identity:
        """Empty when nothing has to change, so that a plain user needs no privilege."""
        if not self.switch:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def give(self, path: Path) -> None:
        """Make the account the owner of ``path`` (only root has to, and only root can)."""
        if self.switch:
            os.chown(path, self.uid, self.gid)

    def can(self, test: str, path: Path) -> bool:
        """Ask the system whether the account passes ``test FLAG path``: ``-x`` or ``-r``."""
        if not self.switch:
            return os.access(path, os.X_OK if test == "-x" else os.R_OK)
        try:
            done = subprocess.run(  # noqa: S603 - a fixed command; the path is one argument
                ["/bin/sh", "-c", f'[ {test} "$1" ]', "sh", str(path)],
                check=False,
                cwd="/",
                stdin=subprocess.DEVNULL,
                timeout=_SHELL_TIMEOUT_S,
                **self.identity,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise EmbeddedServersError(
                f"cannot start a process as the account {self.name!r} ({error}): start as an "
                f"ordinary user, or set BOOKING_DATABASE_URL and BOOKING_REDIS_URL"
            ) from error
        return done.returncode == 0

    def require_passwd_entry(self) -> None:
        """PostgreSQL's initdb looks its user up by number and fails without an answer."""
        try:
            pwd.getpwuid(self.uid)
        except KeyError:
            raise EmbeddedServersError(
                f"user id {self.uid} has no passwd entry, and PostgreSQL cannot set up its data "
                f"directory without one: add an entry, or set BOOKING_DATABASE_URL to a server "
                f"of your own"
            ) from None


def choose_account(data_dir: Path, cluster_dir: Path) -> Account:
    """Our own account; for root the owner of what is there, else ``postgres``, else ``nobody``."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), switch=False)
    for path in (cluster_dir, data_dir):
        if path.exists() and path.stat().st_uid != 0:
            return Account(path.stat().st_uid, path.stat().st_gid, switch=True)
    for name in FALLBACK_NAMES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid, switch=True)
    raise EmbeddedServersError(
        "PostgreSQL refuses to run as root, and there is neither an account 'postgres' nor "
        "'nobody': start as an ordinary user, or set BOOKING_DATABASE_URL and BOOKING_REDIS_URL"
    )
