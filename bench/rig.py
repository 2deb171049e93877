"""Everything a run needs, started and ended here: servers, schema, catalogue, processes."""

import http.client
import json
import os
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import msgspec

from bench.bare import Answer, write_answers
from bench.client import Target
from bench.processes import Child, ProcessFailedError, run_to_end
from bench.watchdog import Stops
from booking.embedded import EmbeddedServers

READY_S_MAX = 60.0
ROOT = Path(__file__).resolve().parent.parent
DATES_PER_CONCERT = 10
"""What one `available-dates?concertId=` answers: a long run of one show."""
SEATS_PER_DATE = 50
PRICE = 50_000
"""In won."""
VENUE = {
    "id": "bench-hall",
    "name": "Bench hall",
    "city": "Seoul",
    "timeZone": "Asia/Seoul",
    "categories": [{"id": "all", "name": "All", "colour": "#336699"}],
    "sections": [{"name": "Hall", "rows": [{"rows": "A-E", "seats": 10, "category": "all"}]}],
}
"""With the seats of a date."""

MAIN = "import sys; from booking.cli.main import main; sys.exit(main())"
"""A program that runs the ``booking`` command."""
_WATCHED = """
import sys
from bench.watchdog import watch
from booking.cli.main import main
watch({file!r})
sys.exit(main())
"""
_PROFILED = """
import cProfile, sys
from booking.cli.main import main
profile = cProfile.Profile()
try:
    code = profile.runcall(main)
finally:
    profile.dump_stats({file!r})
sys.exit(code)
"""


class Setup(msgspec.Struct, frozen=True):
    """What to start the service with."""

    dates: int = 2_000
    max_active: int = 1_000_000
    """Nobody waits, unless the workload says otherwise."""
    database_url: str = ""
    redis_url: str = ""
    """Servers to use instead of embedded ones. The database must be empty."""
    profile: str = ""
    """A file for the service's cProfile statistics; empty for none."""
    program: str = ""
    """Python that runs the ``booking`` command in its own way; ``{file!r}`` is the directory."""
    watched: bool = False
    """Whether stops of the service's event loop are measured, for :attr:`Rig.stops`."""
    followed: bool = False
    """Whether there are consumers: the tables to query, and :mod:`bench.notify`."""


class Rig:
    """A service on servers of its own. Use as a context manager: everything it started is gone
    afterwards, whatever happened."""

    planned = False
    """Whether the dates are in a house with a plan."""

    def __init__(
        self, setup: Setup, settings: Mapping[str, str], say: Callable[[str], None]
    ) -> None:
        self._setup = setup
        self._settings = settings
        self._say = say
        self._stack = ExitStack()
        self._environment: dict[str, str] = {}
        self.directory = Path()
        self.database_url = setup.database_url
        self.database_pid: int | None = None
        """Of an embedded PostgreSQL."""
        self.redis_pid: int | None = None
        """Of an embedded Valkey."""
        self.port = 0
        self.stops: Stops | None = None
        self.service: Child | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            temporary = tempfile.TemporaryDirectory(prefix="booking-bench-")
            self.directory = Path(stack.enter_context(temporary))
            # Root's PostgreSQL runs as another account, which has to get through to its data.
            self.directory.chmod(0o711)
            self._start_servers(stack)
            self._say("migrating, importing the catalogue")
            self.booking("migrate")
            catalogue = self.directory / "catalogue.json"
            catalogue.write_bytes(document(self._setup.dates, planned=self.planned))
            self.booking("catalog", "import", str(catalogue))
            stack.callback(self.stop_service)
            self.start_service()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def settings(self) -> dict[str, str]:
        """The environment variables that the service reads."""
        return {k: v for k, v in self._environment.items() if k.startswith("BOOKING_")}

    @property
    def target(self) -> Target:
        """The service's address."""
        return Target("127.0.0.1", self.port)

    @property
    def running(self) -> Child:
        """The service's process, while there is one."""
        assert self.service is not None, "the service is not running"
        return self.service

    def start_service(self) -> float:
        """Start `booking serve` and return the seconds until it was ready."""
        code = self._setup.program.format(file=str(self.directory)) or MAIN
        if self._setup.profile:
            code = _PROFILED.format(file=self._setup.profile)
        if self._setup.watched:
            file = self.directory / "stops"
            self.stops = self.stops or Stops(file)
            code = _WATCHED.format(file=str(file))
        began = time.monotonic()
        self.port = free_port()
        self.service = self._serve("bench", self.port, code)
        wait_until(self.service, lambda: is_ready(self.port))
        return time.monotonic() - began

    def start_another(self, name: str) -> tuple[Child, int]:
        """Start another instance, ended with the rig; it and its port, when ready."""
        port = free_port()
        child = self._serve(name, port, MAIN)
        self._stack.callback(child.stop)
        wait_until(child, lambda: is_ready(port))
        return child, port

    def _serve(self, name: str, port: int, code: str) -> Child:
        command = [sys.executable, "-c", code, "serve", "--exit-with-stdin"]
        # The first has one name for all its runs: a restart need not wait for itself.
        return self._child(command, name, {"BOOKING_PORT": str(port), "BOOKING_INSTANCE": name})

    def _child(self, command: Sequence[str], name: str, settings: Mapping[str, str]) -> Child:
        environment = {**self._environment, **settings}
        return Child(f"booking ({name})", command, environment, self.directory / f"{name}.log")

    def stop_service(self, how: signal.Signals = signal.SIGTERM) -> float:
        """Stop the service if it runs; the seconds that took."""
        service, self.service = self.service, None
        return service.stop(how) if service is not None else 0.0

    def booking(self, *arguments: str) -> str:
        """Run a `booking` command against the same servers; what it printed."""
        command = [sys.executable, "-c", MAIN, *arguments]
        return run_to_end(f"booking {' '.join(arguments)}", command, self._environment)

    def _start_servers(self, stack: ExitStack) -> None:
        setup = self._setup
        database_url, redis_url = setup.database_url, setup.redis_url
        if not (database_url and redis_url):
            self._say("starting PostgreSQL and Valkey")
            servers = EmbeddedServers.start(
                self.directory / "data",
                durable=True,
                database_url=database_url,
                redis_url=redis_url,
            )
            stack.callback(servers.stop)
            self.database_pid = servers.pids.get("postgres")
            self.redis_pid = servers.pids.get("valkey")
            database_url, redis_url = servers.database_url, servers.redis_url
        self.database_url = database_url
        follows = {"BOOKING_READ_URL": database_url, "BOOKING_CONSUMERS": "bench.notify:consumer"}
        self._environment = {
            **(follows if setup.followed else {}),
            **_inherited(),
            **_bytecode(self.directory),
            "BOOKING_DATABASE_URL": database_url,
            "BOOKING_REDIS_URL": redis_url,
            "BOOKING_HOST": "127.0.0.1",
            "BOOKING_TOKEN_SECRET": secrets.token_hex(32),
            "BOOKING_QUEUE_MAX_ACTIVE": str(setup.max_active),
            "BOOKING_QUEUE_ADMIT_PER_MINUTE": "0",
            "BOOKING_ACTIVE_SECONDS": "3600",
            # Counted, as in production, but never reached: a few users ask for thousands.
            "BOOKING_RATE_LIMIT_PER_USER": "1000000",
            **self._settings,
        }


def start_bare(
    answers: list[Answer], directory: Path, stack: ExitStack | AsyncExitStack
) -> tuple[Target, int]:
    """Start the bare route in its own process, ended with the stack."""
    file, log = directory / "answers.json", directory / "bare.log"
    write_answers(file, answers)
    child = Child("bare route", [sys.executable, "-m", "bench.bare", str(file)], _inherited(), log)
    stack.callback(child.stop)
    wait_until(child, lambda: log.read_text().endswith("\n"))
    return Target("127.0.0.1", int(log.read_text())), child.pid


def wait_until(child: Child, ready: Callable[[], bool]) -> None:
    """Raises :class:`ProcessFailedError` if the process ends or takes too long."""
    deadline = time.monotonic() + READY_S_MAX
    while not ready():
        child.check()
        if time.monotonic() > deadline:
            raise ProcessFailedError(f"{child.name} is not ready:\n{child.tail()}")
        time.sleep(0.01)


def _inherited() -> dict[str, str]:
    """Our environment without settings of the service, and with the checkout to import from."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BOOKING_")}
    return kept | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "http")])}


def _bytecode(directory: Path) -> dict[str, str]:
    """Bytecode goes to the run's directory, or every start would compile everything."""
    if not os.environ.get("PYTHONDONTWRITEBYTECODE"):
        return {}
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(directory / "bytecode")}


def free_port() -> int:
    """A TCP port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_ready(port: int) -> bool:
    """Whether the service on this port says so."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def document(dates: int, now: datetime | None = None, *, planned: bool = False) -> bytes:
    """A catalogue as `booking catalog import` reads it: so many dates of 50 seats each, ten a
    concert, all open for booking now and for a year; in a house with a plan if so."""
    start = (now or datetime.now(UTC)).replace(microsecond=0)
    booking_start = (start - timedelta(days=1)).isoformat()
    concerts: list[dict[str, object]] = []
    for first in range(0, dates, DATES_PER_CONCERT):
        numbers = range(first, min(first + DATES_PER_CONCERT, dates))
        number = first // DATES_PER_CONCERT + 1
        each = [_date(number, start, booking_start) for number in numbers]
        if planned:
            each = [date | {"venue": VENUE["id"]} for date in each]
        concerts.append({"id": f"bench-{number}", "name": f"Bench concert {number}", "dates": each})
    return json.dumps({"concerts": concerts, "venues": [VENUE] * planned}).encode()


def _date(number: int, start: datetime, booking_start: str) -> dict[str, object]:
    opens = start + timedelta(days=365, hours=number)
    return {
        "id": f"bench-date-{number + 1}",
        "open_at": opens.isoformat(),
        "close_at": (opens + timedelta(hours=3)).isoformat(),
        "booking_start": booking_start,
        "booking_end": opens.isoformat(),
        "price": PRICE,
        "totalSeats": SEATS_PER_DATE,
    }
