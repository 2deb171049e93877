"""Everything that can go wrong goes wrong, at random, while independent users book.

Three `booking serve` processes on one PostgreSQL and one Redis of their own. Whatever a client was
told, each answer to each call, is compared with what the service says afterwards: balances,
reservations, payments, seats, the replay of every key; and `booking audit` is clean.

``BOOKING_TEST_SEED`` repeats the faults of a run, in their order and kind; the interleaving is the
machine's.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from booking.embedded import EmbeddedServers
from booking.schema import migrate
from tests.support.chaos import Chaos, Patient
from tests.support.cluster import Cluster, cluster, until
from tests.support.cluster_verdict import all_is_true_everywhere
from tests.support.forms import slow
from tests.support.gate import gate_to
from tests.support.house import ROOT
from tests.support.load import Load
from tests.support.own_redis import OwnRedis, own_redis
from tests.support.servers import own_servers
from tests.support.stock import import_catalogue, seats_to_draw
from tests.support.told import Tell

SHORT_S, LONG_S = 60.0, 600.0
"""The short form is long enough for a fault of each kind."""
SHORT_LIMIT_S, LONG_LIMIT_S = 360, 1_200
INSTANCES = ("c-1", "c-2", "c-3")
CLIENTS = 16
OUTCOME_MAX_S = 90.0
"""Several faults at once keep a shard away for longer than each of them."""
WELL_AGAIN_MAX_S = 90.0
"""A cluster is balanced within some ten seconds of the last fault; a busy machine needs more."""
SEATS_A_SECOND = 30
"""More than are sold, so that there is always one to buy."""
PATHS = (ROOT / "tests" / "chaos" / "clock", ROOT, ROOT / "http")
"""Where an instance imports from: the clock that can be set wrong first."""


@pytest.fixture
def redis() -> Iterator[OwnRedis]:
    with own_redis() as own:
        yield own


@pytest.fixture
def postgres(redis: OwnRedis) -> Iterator[EmbeddedServers]:
    with own_servers(redis_url=redis.url) as embedded:
        yield embedded


@asynccontextmanager
async def patient(
    postgres: EmbeddedServers, redis: OwnRedis, directory: Path
) -> AsyncIterator[Patient]:
    """A balanced cluster whose every way to somebody else can be closed."""
    async with AsyncExitStack() as stack:
        gates = {
            name: await stack.enter_async_context(gate_to(postgres.database_url))
            for name in INSTANCES
        }
        own = {
            name: {
                "BOOKING_DATABASE_URL": gate.url,
                "BOOKING_TEST_CLOCK": str(directory / name),
                "PYTHONPATH": os.pathsep.join(map(str, PATHS)),
            }
            for name, gate in gates.items()
        }
        running = await stack.enter_async_context(
            cluster(
                postgres.database_url,
                redis.url,
                directory,
                len(INSTANCES),
                with_wires=True,
                own=own,
                BOOKING_HOLD_SECONDS="3600",
                BOOKING_QUEUE_IDLE_SECONDS="3600",
            )
        )
        yield Patient(running, redis, postgres, gates, directory)


async def well_again(running: Cluster) -> None:
    """Nobody has ended but by our hand, all are ready, and the shards are shared out."""
    for instance in running.instances:
        assert instance.running, instance.said[-4_000:]
        await until(instance.is_ready, f"{instance.name} is ready", WELL_AGAIN_MAX_S)
    await running.balanced(within_s=WELL_AGAIN_MAX_S)


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(SHORT_S, marks=pytest.mark.timeout(SHORT_LIMIT_S)),
        slow(LONG_S, limit_s=LONG_LIMIT_S),
    ],
)
async def test_whatever_fails_all_that_was_told_is_true(
    postgres: EmbeddedServers, redis: OwnRedis, tmp_path: Path, tell: Tell, seconds: float
) -> None:
    seed = int(os.environ.get("BOOKING_TEST_SEED") or secrets.randbelow(10**9))
    tell(f"BOOKING_TEST_SEED={seed}")
    print(f"BOOKING_TEST_SEED={seed}")
    dates = {"rare": 40, "big": int(seconds * SEATS_A_SECOND)}
    await migrate.migrate(postgres.database_url)
    await import_catalogue(postgres.database_url, dates)
    async with patient(postgres, redis, tmp_path) as hurt:
        running = hurt.cluster
        async with Load(
            running.in_rotation,
            seats_to_draw(dates),
            seed=seed,
            clients=CLIENTS,
            outcome_max_s=OUTCOME_MAX_S,
        ) as load:
            await load.answers(100)
            chaos = Chaos(hurt, Random(seed), say=print)
            await chaos.run(seconds)
            await well_again(running)
            await load.answers(100)
            await load.settle()
            tell(f"{chaos.held.total()} faults: {dict(chaos.held.most_common())}")
            bookings = sum(len(account.paid) for account in load.accounts.values())
            tell(f"{bookings} bookings by {len(load.accounts)} users: {load.felt()}")
            await all_is_true_everywhere(load, running, postgres.database_url, dates)
