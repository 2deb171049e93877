"""What a command costs that is asked at another instance than the owner's.

A charge goes to the first of two instances, in turns for its own users and the other's; the CPU
time of *both* is compared.
"""

from __future__ import annotations

import argparse
import asyncio
import time
import uuid
from collections.abc import Sequence
from itertools import cycle
from statistics import median

import asyncpg
import msgspec

from actors.address import slot_of
from bench.load import Pool
from bench.processes import ProcessFailedError, cpu_seconds, family_cpu_seconds
from bench.report import told
from bench.rig import Rig, Setup
from bench.run import interruptible, say
from bench.scenario import charge, single

RATIO_MAX = 1.6
"""Of the CPU of a local command: the aim."""
USERS = 2_000
"""On each side: all of them stay in memory after their first charge."""
SHARED_EVENLY_S = 30.0
"""For the second instance to have its half."""


class Slice(msgspec.Struct, frozen=True):
    """What one slice of one kind took; CPU times in microseconds for each request."""

    requests: int
    service_us: float
    journal_us: float
    seconds: float


async def _owners(dsn: str) -> list[str]:
    """The owner of each shard, once both have about half."""
    connection = await asyncpg.connect(dsn)
    ends = time.monotonic() + SHARED_EVENLY_S
    query = "SELECT owner FROM shards ORDER BY shard"
    try:
        while True:
            names = [row["owner"] for row in await connection.fetch(query)]
            if min(names.count("bench"), names.count("other")) > 100:
                # Or the leader would even out the very load that is to be compared.
                await connection.execute("UPDATE shards SET frozen = 'bench'")
                return [row["owner"] for row in await connection.fetch(query)]
            if time.monotonic() > ends:
                raise ProcessFailedError("the second instance did not get its share")
            await asyncio.sleep(0.1)
    finally:
        await connection.close()


def _charges(instance: str, owned: Sequence[str]) -> cycle[bytes]:
    """Charges of users whose accounts live there."""
    found: list[bytes] = []
    while len(found) < USERS:
        user = str(uuid.uuid4())
        if owned[slot_of(user)] == instance:
            found.append(charge(user, 1))
    return cycle(found)


async def _measure(
    rig: Rig, pids: Sequence[int], pool: Pool, requests: cycle[bytes], seconds: float
) -> Slice:
    def cpu_s() -> tuple[float, float]:
        return sum(map(cpu_seconds, pids)), family_cpu_seconds(rig.database_pid)

    service_s, journal_s = cpu_s()
    began = time.monotonic()
    run = await pool.closed_loop(lambda: single("charge", next(requests), 200), 0.0, seconds)
    took = time.monotonic() - began
    if run.failures:
        raise ProcessFailedError(f"not all answers were 200: {dict(run.failures)}")
    service_us, journal_us = (
        (now - then) / run.answered * 1e6
        for now, then in zip(cpu_s(), (service_s, journal_s), strict=True)
    )
    return Slice(run.answered, service_us, journal_us, took)


async def _compare(rig: Rig, options: argparse.Namespace) -> tuple[list[Slice], list[Slice]]:
    """Local and remote slices, in turns, after one of each that is not counted."""
    other, _ = rig.start_another("other")
    pids = (rig.running.pid, other.pid)
    owned = await _owners(rig.database_url)
    local: list[Slice] = []
    remote: list[Slice] = []
    kinds = [(_charges("bench", owned), local), (_charges("other", owned), remote)]
    async with Pool(rig.target, options.connections) as pool:
        for number in range(options.slices + 1):
            for requests, slices in kinds if number % 2 else reversed(kinds):
                part = await _measure(rig, pids, pool, requests, options.seconds)
                if number:
                    slices.append(part)
    return local, remote


def _show(local: Sequence[Slice], remote: Sequence[Slice]) -> float:
    """Print the table; the ratio of the medians."""
    pairs = [far.service_us / near.service_us for near, far in zip(local, remote, strict=True)]
    ratio = median(s.service_us for s in remote) / median(s.service_us for s in local)
    sides = {"local": local, "remote": remote}
    print(told("hop.txt", sides=sides, ratio=ratio, low=min(pairs), high=max(pairs)))
    return ratio


def main(arguments: Sequence[str]) -> int:
    """Exit status 0 if a remote command costs at most :data:`RATIO_MAX` times a local one, 1 if it
    costs more, 2 if it could not be measured."""
    parser = argparse.ArgumentParser("python -m bench hop", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each slice")
    parser.add_argument("--slices", type=int, default=5, help="of each kind")
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args(arguments)
    settings = {"BOOKING_RATE_LIMIT_PER_USER": "0"}
    with interruptible(), Rig(Setup(dates=20), settings, say) as rig:
        local, remote = asyncio.run(_compare(rig, options))
        rig.booking("audit")
    return int(_show(local, remote) > RATIO_MAX)
