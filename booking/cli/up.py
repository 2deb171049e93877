"""``booking up``: everything on one machine, from nothing, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from booking.catalogue import demo, store
from booking.cli.first_screen import first_screen
from booking.cli.fleet import INSTANCES_MAX, Fleet, free_port, open_port
from booking.cli.instance import RELAY, Instance, InstanceError, Place
from booking.cli.kept_secrets import ADMIN_TOKEN_FILE, TOKEN_SECRET_FILE, kept_secret
from booking.cli.outcome import DATABASE_ERRORS, DONE, FAILED, INTERRUPTED, WRONG_USAGE, fail, words
from booking.embedded import EmbeddedServers, EmbeddedServersError, default_data_dir, nats
from booking.readmodel import store as read_model
from booking.relay.brokers import check_installed
from booking.schema import migrate, parts
from booking.settings import Settings, SettingsError

PORTS_FROM, PORTS_SPREAD = 20_000, 9_000
"""Where a port is looked for that nobody named: below the range that systems give to outgoing
connections. Out of it, whoever tries again to reach an instance that is being started could be
given the instance's own port, meet itself, and keep the port taken."""

NATS_PORT = 4_222
"""Where clients look for a NATS server, or the next port that is free."""
RELAY_STOP_MAX_S = 5.0
READY_MAX_S = 60.0
"""A start takes about a second; replaying a long journal on a busy machine takes longer."""

_REFUSALS = (migrate.SchemaMismatch, store.CatalogueError)
_TICK_S = 0.1
_NO_SERVER_YET = {"BOOKING_DATABASE_URL": "postgresql:///", "BOOKING_REDIS_URL": "unix:///"}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the grammar of ``booking``."""
    parser = subparsers.add_parser(
        "up",
        help="run everything here: private PostgreSQL and Valkey, tables, demo data, the service",
        description="Run everything on this machine until Ctrl-C. The data stays in DIR.",
    )
    parser.add_argument("--port", type=int, metavar="N", help="default: 8080")
    parser.add_argument("--instances", type=int, default=1, metavar="N", help="default: 1")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help=f"where everything is kept: {default_data_dir()}"
    )
    parser.add_argument("--no-demo", action="store_true", help="start without demo concerts")
    parser.add_argument(
        "--postgres", type=Path, metavar="DIR", help="use DIR/bin/postgres, not the wheel's"
    )
    parser.add_argument(
        "--relay",
        action="store_true",
        help="publish what happens to a private NATS server, or to BOOKING_NATS_URL if it is set",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit status 0 after Ctrl-C or SIGTERM, 1 after a failure, 2 for wrong settings."""
    if not 1 <= args.instances <= INSTANCES_MAX:
        return fail(f"--instances must be from 1 to {INSTANCES_MAX}", WRONG_USAGE)
    if args.port is not None and not 0 <= args.port <= 65_535:
        return fail("--port must be from 0 to 65535", WRONG_USAGE)
    up = _Up(args, os.environ)
    try:
        return up.run()
    except (InstanceError, EmbeddedServersError, *_REFUSALS) as error:
        return fail(str(error))
    except DATABASE_ERRORS as error:
        return fail(f"cannot start: {words(error)}")


class _Up:
    """One run of the command: set up, watch, stop in order."""

    def __init__(self, args: argparse.Namespace, environ: Mapping[str, str]) -> None:
        self._args = args
        self._environ = dict(environ)
        self._data_dir = (args.data or default_data_dir()).expanduser().absolute()
        self._admin_token_file: Path | None = None
        self._fleet: Fleet | None = None
        self._relay: Instance | None = None
        self._signals = 0
        self._interrupt_setup = True

    def run(self) -> int:
        """Everything from the first check to the last process stopped."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        settings = self._settle_settings()
        # Also for one, which will listen there itself: a taken port is told before a long start.
        port = open_port(settings)
        shared = port if self._args.instances > 1 else None
        if shared is None:
            port.close()
        _say(f"data in {self._data_dir}")
        try:
            servers = EmbeddedServers.start(
                self._data_dir,
                progress=_say,
                database_url=self._environ.get("BOOKING_DATABASE_URL", ""),
                redis_url=self._environ.get("BOOKING_REDIS_URL", ""),
                postgres_dir=self._args.postgres,
                nats_port=self._nats_port(settings),
            )
        except KeyboardInterrupt:
            _say("stopped before it was ready")
            return DONE
        try:
            return self._with_servers(servers, settings, shared)
        finally:
            self._interrupt_setup = False
            _say("stopping the servers")
            servers.stop()
            _say("stopped")

    def _with_servers(
        self, servers: EmbeddedServers, settings: Settings, shared: socket.socket | None
    ) -> int:
        try:
            self._complete_secrets()
            _say("preparing the tables")
            databases = (servers.database_url, *settings.journal_urls)
            asyncio.run(_prepare(databases, settings.read_url, not self._args.no_demo))
        except KeyboardInterrupt:
            return DONE
        self._interrupt_setup = False
        environ = self._environ | {
            "BOOKING_DATABASE_URL": servers.database_url,
            "BOOKING_REDIS_URL": servers.redis_url,
        }
        if servers.nats_port:
            environ["BOOKING_NATS_URL"] = nats.url(servers.nats_port)
        if self._args.relay:
            place = Place("", 0, environ)
            self._relay = Instance("the relay", lambda: place, _say, command=RELAY)
        self._fleet = Fleet(environ, settings, shared, self._args.instances, _say)
        try:
            self._watch(self._fleet, servers)
        finally:
            _say("draining the service")
            clean = self._fleet.stop()
            if self._relay is not None:
                self._relay.ask_to_end()
                clean = self._relay.ended(RELAY_STOP_MAX_S) and clean
        return DONE if clean else FAILED

    def _watch(self, fleet: Fleet, servers: EmbeddedServers) -> None:
        """Until a signal comes, or something is beyond help."""
        _say("starting the service")
        shown = False
        while self._signals == 0:
            fleet.tend(time.monotonic())
            self._tend_relay()
            for line in servers.news():
                _say(line)
            if not shown and fleet.ready():
                print(first_screen(fleet, servers, self._admin_token_file), flush=True)
                shown = True
            if not shown and fleet.age_s() > READY_MAX_S:
                raise InstanceError(f"the service was not ready within {READY_MAX_S:.0f} s")
            time.sleep(_TICK_S)

    def _tend_relay(self) -> None:
        if self._relay is None:
            return
        try:
            self._relay.tend(time.monotonic())
        except InstanceError as error:
            self._relay = None
            _say(f"{error}; the service goes on without it")
        else:
            self._relay.was_ready = True

    def _nats_port(self, settings: Settings) -> int:
        """Of a private NATS server; 0 for none."""
        if not self._args.relay or settings.nats_url or settings.kafka_brokers:
            return 0
        return free_port(NATS_PORT, {settings.port})

    def _settle_settings(self) -> Settings:
        """Complete the environment of the instance, and check it before anything is started."""
        environ = self._environ
        if self._args.port is not None:
            environ["BOOKING_PORT"] = str(self._args.port)
        if environ.get("BOOKING_PORT") == "0":
            environ["BOOKING_PORT"] = str(
                free_port(PORTS_FROM + secrets.randbelow(PORTS_SPREAD), set())
            )
        environ.setdefault("BOOKING_HOST", "127.0.0.1")
        environ.setdefault("BOOKING_LOG", "text")
        if self._args.instances == 1:
            # The same name at every start: the instance knows a killed one as an earlier self.
            environ.setdefault("BOOKING_INSTANCE", "up-1")
        elif environ.get("BOOKING_ADVERTISE_URL"):
            raise SettingsError("BOOKING_ADVERTISE_URL is one address, and there are several here")
        settings = Settings.from_env(_NO_SERVER_YET | environ, serving=False)
        if self._args.relay:
            check_installed(settings)
        admin_port = settings.admin_port
        if admin_port and admin_port < settings.port < admin_port + self._args.instances:
            raise SettingsError(
                f"BOOKING_ADMIN_PORT is {admin_port} and counts up, one for each instance, onto "
                f"the service's port {settings.port}"
            )
        return settings

    def _complete_secrets(self) -> None:
        """To be called when the data directory is ours alone."""
        environ = self._environ
        if not environ.get("BOOKING_TOKEN_SECRET"):
            environ["BOOKING_TOKEN_SECRET"] = kept_secret(self._data_dir / TOKEN_SECRET_FILE)
        if not environ.get("BOOKING_ADMIN_TOKEN"):
            self._admin_token_file = self._data_dir / ADMIN_TOKEN_FILE
            environ["BOOKING_ADMIN_TOKEN"] = kept_secret(self._admin_token_file)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1
        if self._interrupt_setup:
            raise KeyboardInterrupt
        if self._signals > 1:
            # At once: instances are killed here, the servers by their guardian, which sees us go.
            for each in (self._fleet, self._relay):
                if each is not None:
                    each.kill()
            os._exit(INTERRUPTED)


async def _prepare(databases: Sequence[str], read_url: str, demo_wanted: bool) -> None:
    """Current tables in every database; the demo season if there is no concert at all."""
    await parts.prepare(databases)
    if read_url:
        await read_model.prepare(read_url)
    database_url = databases[0]
    if not demo_wanted or (await store.load(database_url)).schedules:
        return
    document = demo.demo_catalogue(datetime.now(UTC))
    await store.save(database_url, document)
    _say(f"wrote the demo season: {len(document.concerts)} concerts")


def _say(line: str) -> None:
    # A closed terminal must not keep us from stopping things in order.
    with contextlib.suppress(OSError):
        print(f"booking: {line}", flush=True)
