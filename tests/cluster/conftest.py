"""Clusters under load, on a stocked database.

Every test here starts real `booking serve` processes on one PostgreSQL and one Redis, runs the
whole booking flow through random instances while something fails, and ends with everything that a
client was told being true everywhere. ``BOOKING_TEST_INSTANCES`` changes how many instances there
are.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.api_client import new_user
from tests.support.cluster import Cluster, cluster
from tests.support.cluster_verdict import all_is_true_everywhere
from tests.support.load import CLIENTS, Load
from tests.support.probes import users_of
from tests.support.stock import seats_to_draw

INSTANCES = int(os.environ.get("BOOKING_TEST_INSTANCES", "3"))
SEED = int(os.environ.get("BOOKING_TEST_SEED", "20240611"))
METERED_SLOTS = range(0, 256, 16)
WARM_UP_ANSWERS = 150
"""Of the load before anything fails."""

StartCluster = Callable[..., AbstractAsyncContextManager[Cluster]]
UnderLoad = Callable[..., AbstractAsyncContextManager[tuple[Cluster, Load]]]


@pytest.fixture
def random() -> Random:
    """Says what fails when; the interleaving is the machine's."""
    return Random(SEED)


@pytest.fixture
def start_cluster(stocked_database_url: str, redis_url: str, tmp_path: Path) -> StartCluster:
    """Starts instances, by default as many as everywhere here; see :func:`cluster`."""

    def start(count: int = INSTANCES, **more: Any) -> AbstractAsyncContextManager[Cluster]:
        return cluster(stocked_database_url, redis_url, tmp_path, count, **more)

    return start


@pytest.fixture
def under_load(start_cluster: StartCluster, stocked_database_url: str) -> UnderLoad:
    """Starts a cluster with a warm load on it, which is settled, and all of it found true, at the
    end. May take the number of clients (``clients``), which slots have a meter (``metered``), and
    what :func:`start_cluster` takes."""

    @asynccontextmanager
    async def started(
        *, clients: int = CLIENTS, metered: Collection[int] = METERED_SLOTS, **more: Any
    ) -> AsyncIterator[tuple[Cluster, Load]]:
        meters = users_of(metered, new_user)
        async with (
            start_cluster(**more) as running,
            Load(
                running.in_rotation, seats_to_draw(), seed=SEED, clients=clients, meters=meters
            ) as load,
        ):
            await load.answers(WARM_UP_ANSWERS)
            yield running, load
            await load.settle()
            await all_is_true_everywhere(load, running, stocked_database_url)

    return started
