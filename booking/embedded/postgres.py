"""The private PostgreSQL: making its data directory, its command line, and when it is ready."""

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

from booking.embedded.binaries import PostgresBinaries, reachable_postgres
from booking.embedded.errors import EmbeddedServersError, causes
from booking.embedded.site import CLEAN_ENVIRONMENT, Site

NAME = "booking"
"""Both the superuser and the database of the private cluster."""

BUILTIN_LOCALES_SINCE = 17
"""The first version with C.UTF-8 of its own, which is the same on every system."""

SETUP_MAX_S = 120.0
"""initdb takes half a second; a slow disk that syncs every file may take a minute."""

SETTINGS = {
    "listen_addresses": "",  # the unix socket only
    "unix_socket_permissions": "0700",
    "TimeZone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "400",  # ten for each of 32 instances; the rest is for people and tests
    "shared_buffers": "128MB",
    "wal_buffers": "16MB",
    "min_wal_size": "256MB",  # recycled segments: no stall for making new ones under load
    "max_wal_size": "2GB",  # checkpoints come by time, not in a storm because a burst filled 1 GB
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "jit": "off",  # statements here take microseconds; compiling one takes longer
    "huge_pages": "off",
    "log_checkpoints": "off",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] ",
    "cluster_name": NAME,
}
"""For one machine with two cores and a service on the same cores."""

DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
"""An acknowledged commit survives a power cut."""
FOR_TESTS = {"fsync": "off", "synchronous_commit": "on", "full_page_writes": "off"}
"""An acknowledged commit survives the death of the process, which is all that tests do to it."""

STOP_STAGES = [("SIGINT", 10.0), ("SIGQUIT", 3.0), ("SIGKILL", 2.0)]
"""Fast (SIGTERM would wait for clients to leave), immediate, kill; seconds given to each."""


def server_spec(found: PostgresBinaries, site: Site) -> dict[str, Any]:
    """Make the data directory if there is none; what the guardian needs to run the server."""
    binaries = reachable_postgres(found, site.account, site.data_dir, site.progress)
    cluster = site.data_dir / "postgres"
    _prepare(binaries, cluster, site)
    settings = SETTINGS | (DURABLE if site.durable else FOR_TESTS)
    settings["unix_socket_directories"] = str(site.sockets)
    argv = [str(binaries.postgres), "-D", str(cluster)]
    for name, value in settings.items():
        argv += ["-c", f"{name}={value}"]
    return site.server_spec("postgres", argv, STOP_STAGES)


def is_ready(cluster: Path) -> bool:
    """Whether it accepts connections: the eighth line of its pid file, as ``pg_ctl`` does it."""
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[7].strip() == "ready"


def _prepare(binaries: PostgresBinaries, cluster: Path, site: Site) -> None:
    """Make the data directory whole or not at all, or make a stale pid file in it go."""
    major = binaries.major()
    half = cluster.with_name(f"{cluster.name}.new")
    if half.exists():
        shutil.rmtree(half)
    if cluster.exists():
        _check_version(cluster, major)
        (cluster / "postmaster.pid").unlink(missing_ok=True)
        return
    site.progress("setting up a new PostgreSQL data directory")
    site.account.require_passwd_entry()
    half.mkdir(mode=0o700)
    site.account.give(half)
    _run_setup(_initdb(binaries, half, major, durable=site.durable), b"", site)
    argv = [str(binaries.postgres), "--single", "-D", str(half)]
    argv += ["-c", f"fsync={'on' if site.durable else 'off'}", "postgres"]
    said = _run_setup(argv, f"CREATE DATABASE {NAME}\n".encode(), site)
    if "ERROR" in said or "FATAL" in said:
        raise EmbeddedServersError(f"PostgreSQL could not make the database: {causes(said)[0]}")
    half.replace(cluster)
    _sync_directory(cluster.parent)


def _initdb(binaries: PostgresBinaries, directory: Path, major: int, *, durable: bool) -> list[str]:
    argv = [str(binaries.initdb), "-D", str(directory), "-U", NAME, "--encoding=UTF8"]
    # Everybody who can enter the socket directory (0700) is the owner: no password adds to that.
    argv += ["--auth-local=trust", "--auth-host=reject"]
    if major >= BUILTIN_LOCALES_SINCE:
        argv += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    else:
        argv += ["--locale=C.UTF-8"]
    return argv if durable else [*argv, "--no-sync"]


def _run_setup(argv: list[str], text: bytes, site: Site) -> str:
    """Run a set-up step, which holds the servers' lock, to its end; what it said."""
    try:
        status, said = _run_to_its_end(argv, text, site)
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedServersError(f"PostgreSQL cannot be set up: {error}") from error
    if status != 0:
        cause = causes(said)[0] or "it said nothing"
        raise EmbeddedServersError(f"PostgreSQL cannot be set up: {cause}")
    return said


def _run_to_its_end(argv: list[str], text: bytes, site: Site) -> tuple[int, str]:
    """Exit status and words. When we are interrupted, what it has started itself ends with it."""
    with subprocess.Popen(  # noqa: S603 - our own command line, no shell
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env=CLEAN_ENVIRONMENT,
        pass_fds=(site.servers_fd,),
        start_new_session=True,
        **site.account.identity,
    ) as process:
        try:
            said, _ = process.communicate(text, SETUP_MAX_S)
        except BaseException:
            # Its session is a process group of its own: initdb runs a server to fill the tables.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
        return process.returncode, said.decode("utf-8", "replace")


def _check_version(cluster: Path, major: int) -> None:
    try:
        made_by = (cluster / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise EmbeddedServersError(f"{cluster} is not a PostgreSQL data directory") from None
    if made_by != str(major):
        raise EmbeddedServersError(
            f"{cluster} was made by PostgreSQL {made_by} and the binaries here are version "
            f"{major}: name another --data directory, or move the data with pg_dump"
        )


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
