"""The instances of one `booking up`: one, or several behind one port.

For several, that port is opened here and inherited by all: whoever is free takes the next
connection, and a connection not yet taken outlives any of them. Each also has a loopback port of
its own, for its peers.
"""

import errno
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from booking.cli.instance import SERVE, Instance, InstanceError, Place
from booking.settings import Settings

INSTANCES_MAX = 32
"""Each has some ten database connections, of those that the private PostgreSQL grants."""

STOP_MAX_S = 30.0
"""What all instances together may take for their drain (see ``booking serve``)."""

BACKLOG = 1024
"""Connections the kernel keeps while every instance is busy; a sale starts with a burst."""

PORTS_TRIED_MAX = 200
"""Ports looked at for one that is free."""

_LOOPBACK = "127.0.0.1"
_PORT_LAST = 65_535
_PORTS_PRIVILEGED = 1_024


class Fleet:
    """All instances. To be tended every moment; stopped together."""

    def __init__(
        self,
        environ: Mapping[str, str],
        settings: Settings,
        shared: socket.socket | None,
        count: int,
        say: Callable[[str], None],
        command: Sequence[str] = SERVE,
    ) -> None:
        """``shared`` listens on the service's port; ``None`` if the one instance does itself."""
        host = settings.host
        reached_by = _LOOPBACK if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared
        self.url = Place(reached_by, settings.port, {}).url
        self.admin_url = self.url
        if settings.admin_port is not None:
            admin_host = reached_by if shared is None else _LOOPBACK
            self.admin_url = Place(admin_host, settings.admin_port, {}).url
        self._say = say
        self._shared = shared
        self._lost: list[Instance] = []
        self.instances: Sequence[Instance]
        if shared is None:
            place = Place(reached_by, settings.port, environ)
            self.instances = [Instance("the service", lambda: place, say, None, command)]
        else:
            places = _Places(environ, settings, count)
            self.instances = [
                Instance(name, partial(places.find, name), say, shared.fileno(), command)
                for name in places.names
            ]

    def tend(self, now_s: float) -> None:
        """Keep all of them running. :class:`InstanceError` when there is no point any more: one
        does not even start, or the last one is in a crash loop."""
        for instance in self.instances:
            if instance in self._lost:
                continue
            try:
                instance.tend(now_s)
            except InstanceError as error:
                if not instance.was_ready or len(self._lost) + 1 == len(self.instances):
                    raise
                self._lost.append(instance)
                self._say(f"{error}; the others go on without it")

    def ready(self) -> bool:
        """Whether every instance says that it is."""
        return all(instance.ready() for instance in self.instances)

    def age_s(self) -> float:
        """Seconds since the start of the youngest."""
        return min(instance.age_s() for instance in self.instances)

    def stop(self) -> bool:
        """Have all drain and wait for their ends; False if one had to be killed."""
        if self._shared is not None:
            self._shared.close()
        for instance in self.instances:
            instance.ask_to_end()
        end_s = time.monotonic() + STOP_MAX_S
        left = [instance.ended(max(0.0, end_s - time.monotonic())) for instance in self.instances]
        return all(left)

    def kill(self) -> None:
        """All at once, without waiting."""
        for instance in self.instances:
            instance.kill()


class _Places:
    """Names and ports for several instances on one machine."""

    def __init__(self, environ: Mapping[str, str], settings: Settings, count: int) -> None:
        prefix = environ.get("BOOKING_INSTANCE", "up")
        self.names = [f"{prefix}-{number}" for number in range(1, count + 1)]
        self._environ = environ
        self._service_port = settings.port
        self._admin_port = settings.admin_port
        self._ports: dict[str, int] = {}

    def find(self, name: str) -> Place:
        """The place of this instance: where it was before, unless somebody else is there."""
        place = self.names.index(name)
        others = {port for other, port in self._ports.items() if other != name}
        if self._admin_port is not None:
            others.update(range(self._admin_port, self._admin_port + len(self.names)))
        wanted = self._ports.get(name, self._service_port + 1 + place)
        port = self._ports[name] = free_port(wanted, others)
        environ = dict(self._environ) | {
            "BOOKING_INSTANCE": name,
            "BOOKING_HOST": _LOOPBACK,
            "BOOKING_PORT": str(port),
            "BOOKING_ADVERTISE_URL": f"http://{_LOOPBACK}:{port}",
        }
        if self._admin_port is not None:
            environ["BOOKING_ADMIN_PORT"] = str(self._admin_port + place)
        return Place(_LOOPBACK, port, environ)


def free_port(wanted: int, others: set[int]) -> int:
    """The first port from ``wanted`` on that nobody has; :class:`InstanceError` if none is near."""
    for number in range(wanted, wanted + PORTS_TRIED_MAX):
        port = number if number <= _PORT_LAST else number - _PORT_LAST + _PORTS_PRIVILEGED
        if port in others:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_LOOPBACK, port))
            except OSError:
                continue
            return port
    raise InstanceError(f"no port is free for an instance from {wanted} on")


def open_port(settings: Settings) -> socket.socket:
    """Listen on the service's port; :class:`InstanceError` if it cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise InstanceError(
                f"port {settings.port} on {settings.host} is in use: choose another with --port"
            ) from error
        raise InstanceError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}"
        ) from error
    return listening
