"""``booking relay`` and real NATS servers: nothing lost, order kept, repeats with the same id."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import asyncpg
import pytest
from aiohttp import ClientSession

from booking.schema import parts
from tests.integration.relay.conftest import RunRelay, all_done, answers, fill, is_done
from tests.support.brokers import (
    in_stream,
    jetstream,
    nats_cluster,
    nats_server,
    nothing_lost,
    stored,
    stream_has,
)
from tests.support.journal_rows import until
from tests.support.journals import busy_season
from tests.support.processes import wait_until
from tests.support.queue_sales import a_sale
from tests.support.read_tables import with_user_ids
from tests.support.served import free_port
from tests.support.servers import own_servers

EVENTS = 1_500


async def publishes(dsn: str) -> bool:
    """Whether the relay is in the middle of a batch: it waits for the server's word."""
    connection = await asyncpg.connect(dsn)
    try:
        query = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                   AND state = 'idle in transaction' AND state_change < now() - interval '200 ms'"""
        return bool(await connection.fetchval(query))
    finally:
        await connection.close()


async def test_a_sale_is_published_as_it_was(
    database_url: str, directory: Path, run_relay: RunRelay
) -> None:
    """Given a queue with a draw and departures of every kind, then JetStream has each public event
    once, under its subject and id."""
    book = a_sale()
    journal = await fill(database_url, book, with_user_ids(book))
    port = str(free_port())
    options = ("--metrics-port", port)
    with (
        nats_server(directory) as server,
        run_relay(*options, BOOKING_NATS_URL=server.url) as relay,
    ):
        async with jetstream(server) as stream:
            await stream_has(stream, len(journal.told))
            nothing_lost(await in_stream(stream), journal.told)
            assert await stored(stream) == len(journal.told)
            config = (await stream.stream_info("BOOKING")).config
            assert (config.num_replicas, config.subjects) == (1, ["booking.events.>"])
        await until(lambda: all_done(database_url, book))
        async with (
            ClientSession() as client,
            client.get(f"http://127.0.0.1:{port}/metrics") as told,
        ):
            numbers = await told.text()
        assert 'booking_consumer_failures_total{consumer="relay-nats"} 0.0' in numbers
        assert 'booking_consumer_stopped_shards{consumer="relay-nats"} 0.0' in numbers
        relay.send_signal(signal.SIGTERM)
        said, _ = relay.communicate(timeout=30)
        assert relay.returncode == 0, said
        assert "publishing as relay-nats" in said


async def test_kill_9_of_the_relay_in_the_middle_loses_nothing(
    database_url: str, directory: Path, run_relay: RunRelay
) -> None:
    book = busy_season(EVENTS)
    journal = await fill(database_url, book)
    with nats_server(directory) as server:
        async with jetstream(server) as stream:
            for share in (0.01, 0.3):
                with run_relay(BOOKING_NATS_URL=server.url) as relay:
                    await stream_has(stream, round(share * len(journal.told)))
                    relay.kill()
            with run_relay(BOOKING_NATS_URL=server.url):
                await stream_has(stream, len(journal.told))
                await until(lambda: all_done(database_url, book))
            nothing_lost(await in_stream(stream), journal.told)


async def test_what_a_server_never_acknowledged_is_sent_again(
    database_url: str, directory: Path, run_relay: RunRelay
) -> None:
    """Given a server that takes messages, acknowledges none, and is killed, then the relay's place
    in the journal has not moved, and all of them are there when the server is back."""
    book = busy_season(EVENTS // 2)
    rows = book.sorted_rows()
    first = [row for row in rows if row.seq <= 2]
    with nats_server(directory) as server:
        await fill(database_url, book, first)
        with run_relay(BOOKING_NATS_URL=server.url):
            await until(lambda: is_done(database_url, len(first)))
            server.freeze()
            journal = await fill(database_url, book, rows)
            await until(lambda: publishes(database_url))
            assert await is_done(database_url, len(first))
            server.kill()
            server.launch()
            async with jetstream(server) as stream:
                await stream_has(stream, len(journal.told))
                await until(lambda: all_done(database_url, book))
                nothing_lost(await in_stream(stream), journal.told)


async def test_a_postgres_that_is_killed_is_waited_for(
    directory: Path, run_relay: RunRelay
) -> None:
    """Given a PostgreSQL that is killed and comes back, then the relay of before goes on."""
    book = busy_season(EVENTS // 2)
    rows = book.sorted_rows()
    first = [row for row in rows if row.seq <= 2]
    with own_servers() as servers, nats_server(directory) as server:
        dsn = servers.database_url
        await parts.prepare([dsn])
        await fill(dsn, book, first)
        at = {"BOOKING_DATABASE_URL": dsn, "BOOKING_NATS_URL": server.url}
        with run_relay(**at) as relay:
            await until(lambda: is_done(dsn, len(first)))
            os.kill(servers.pids["postgres"], signal.SIGKILL)
            wait_until(lambda: bool(servers.news()), "PostgreSQL's end is noticed")
            await until(lambda: answers(dsn))
            journal = await fill(dsn, book, rows)
            async with jetstream(server) as stream:
                await stream_has(stream, len(journal.told))
                await until(lambda: all_done(dsn, book))
                nothing_lost(await in_stream(stream), journal.told)
            assert relay.poll() is None


async def test_two_relays_publish_what_one_does(
    database_url: str, directory: Path, run_relay: RunRelay
) -> None:
    book = busy_season(EVENTS // 2)
    journal = await fill(database_url, book)
    with nats_server(directory) as server:
        at = {"BOOKING_NATS_URL": server.url}
        async with jetstream(server) as stream:
            with run_relay(**at) as one, run_relay(**at):
                await stream_has(stream, 1)
                one.kill()
                await stream_has(stream, len(journal.told))
                await until(lambda: all_done(database_url, book))
            nothing_lost(await in_stream(stream), journal.told)


@pytest.mark.parametrize("events", [300, pytest.param(6_000, marks=pytest.mark.slow)])
async def test_one_of_three_servers_may_be_killed(
    database_url: str, directory: Path, run_relay: RunRelay, events: int
) -> None:
    """Given a cluster of three, when the server that leads the stream is killed in the middle, then
    the others have every event."""
    book = busy_season(events)
    journal = await fill(database_url, book)
    with nats_cluster(directory) as servers:
        urls = ",".join(server.url for server in servers)
        async with jetstream(*servers) as stream:
            with run_relay(BOOKING_NATS_URL=urls):
                await stream_has(stream, 1)
                info = await stream.stream_info("BOOKING")
                assert info.config.num_replicas == 3
                assert info.cluster is not None
                leads = info.cluster.leader
                next(server for server in servers if server.name == leads).kill()
                await stream_has(stream, len(journal.told))
                await until(lambda: all_done(database_url, book), 90.0)
            nothing_lost(await in_stream(stream), journal.told)
