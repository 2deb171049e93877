"""``booking relay``: publish what happens to NATS JetStream and Kafka."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
from typing import Any

import uvloop
from prometheus_client import CollectorRegistry, start_http_server

from actors.clock import SystemClock
from actors.consumers.postgres import PostgresOffsets
from actors.consumers.reader import EventReader
from actors.consumers.runner import ConsumerRunner
from actors.consumers.tail import JournalTail
from actors.journal.contract import Row
from actors.journal.partitioned import journal_over
from actors.tasks import Tasks
from booking.cli.outcome import DATABASE_ERRORS, DONE, FAILED, WRONG_USAGE, fail, words
from booking.cli.stopping import EXIT_WITH_STDIN, StopRequest
from booking.events.contract import source_of
from booking.events.mapping import decode
from booking.instance.metrics import ConsumerNumbers
from booking.observability import logs
from booking.relay.brokers import check_installed, relays_of
from booking.schema import parts
from booking.schema.migrate import SchemaMismatch
from booking.settings import Settings, SettingsError

log = logging.getLogger(__name__)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the grammar of ``booking``."""
    parser = subparsers.add_parser(
        "relay",
        help="publish what happens to NATS JetStream (BOOKING_NATS_URL) and Kafka",
        description="Publish public events to NATS JetStream (BOOKING_NATS_URL) and Kafka "
        "(BOOKING_KAFKA_BROKERS) until SIGTERM. Run it beside the instances, twice if you like: "
        "one does the work, and the other one takes over.",
    )
    parser.add_argument(
        "--metrics-port", type=int, metavar="N", help="serve /metrics on this port (default: not)"
    )
    parser.add_argument(
        EXIT_WITH_STDIN,
        action="store_true",
        help="end at once when standard input ends, as it does when the parent process dies",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit status 0 after SIGTERM, 1 after a failure."""
    if args.metrics_port is not None and not 0 < args.metrics_port <= 65_535:
        return fail("--metrics-port must be from 1 to 65535", WRONG_USAGE)
    settings = Settings.from_env(os.environ, serving=False)
    if not settings.nats_url and not settings.kafka_brokers:
        raise SettingsError(
            "BOOKING_NATS_URL or BOOKING_KAFKA_BROKERS is missing: it names where to publish"
        )
    check_installed(settings)
    logs.configure(settings.log, settings.secrets)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_run(settings, args))
    except (*DATABASE_ERRORS, SchemaMismatch) as error:
        return fail(f"cannot start: {words(error)}")


async def _run(settings: Settings, args: argparse.Namespace) -> int:
    stop = StopRequest()
    if args.exit_with_stdin:
        stop.watch_stdin()
    identity = await parts.check(settings.databases)
    relays = relays_of(settings, source_of(identity.cluster))
    journal = journal_over(settings.databases, lanes_each=0, pool_size=1)
    tail, reader, clock = JournalTail(journal), EventReader(journal, _decode), SystemClock()
    consumers = [relay.consumer() for relay in relays]
    tail.runners = [
        ConsumerRunner(
            one,
            PostgresOffsets(one, settings.database_url),
            reader,
            tail.served,
            clock,
            random.random,
        )
        for one in consumers
    ]
    if args.metrics_port is not None:
        registry = CollectorRegistry()
        registry.register(ConsumerNumbers(tail.runners))
        start_http_server(args.metrics_port, settings.host, registry)
    tasks = Tasks("relay")
    for runner in tail.runners:
        tasks.spawn(runner.run(), runner.consumer.name)
    tasks.spawn(tail.run(), "tail")
    ends: set[asyncio.Future[Any]] = {tasks.spawn(stop.wait(), "stop"), tasks.failed}
    stop.started()
    log.info("publishing as %s", " and ".join(one.name for one in consumers))
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    await tasks.close()
    for relay, runner in zip(relays, tail.runners, strict=True):
        await relay.close()
        await runner.offsets.close()
    await journal.close()
    log.info("stopped")
    return FAILED if tasks.failed.done() else DONE


def _decode(row: Row) -> Any:
    return decode(row.type, row.version, row.payload)
