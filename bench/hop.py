"""What a command costs that is asked at another instance than the owner's.

Two instances share the shards. The same request, a charge, goes to the first of them, in turns for
users that it owns and for users that the other owns. The CPU time of *both* is compared: the remote
one is parsed, sent on, decided there, and answered back.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
import uuid
from collections.abc import Sequence
from itertools import cycle

import asyncpg
import msgspec

from actors.address import slot_of
from bench.client import Connection, Response
from bench.processes import ProcessFailedError, cpu_seconds, family_cpu_seconds
from bench.rig import Rig, Setup

RATIO_MAX = 1.6
"""Of the CPU of a local command: the aim."""
USERS = 2_000
"""On each side: all of them stay in memory after their first charge."""
SHARED_EVENLY_S = 30.0
"""For the second instance to have its half."""


class Slice(msgspec.Struct, frozen=True):
    """What one slice of one kind took."""

    requests: int
    service_s: float
    journal_s: float
    seconds: float

    @property
    def service_us(self) -> float:
        return self.service_s / self.requests * 1e6

    @property
    def journal_us(self) -> float:
        return self.journal_s / self.requests * 1e6


class Asker:
    """One connection that asks again as soon as it is answered, until it is told to stop."""

    def __init__(self, requests: cycle[bytes]) -> None:
        self.requests = requests
        self.connection = Connection(self)
        self.answers = 0
        self.bad: list[int] = []
        self.running = True
        self.ended = asyncio.get_running_loop().create_future()

    def go(self) -> None:
        self.connection.send(next(self.requests))

    def answered(self, response: Response) -> None:
        self.answers += 1
        if response.status != 200:
            self.bad.append(response.status)
        if self.running:
            self.go()
        else:
            self.ended.set_result(None)

    def lost(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_exception(ProcessFailedError(f"a connection was lost: {reason}"))


def charge(user: str) -> bytes:
    """The request as bytes."""
    body = json.dumps({"userId": user, "amount": 1}).encode()
    return (
        b"POST /user/charge HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )


async def owners(dsn: str) -> list[str]:
    """The owner of each shard, once both have about half."""
    connection = await asyncpg.connect(dsn)
    ends = time.monotonic() + SHARED_EVENLY_S
    try:
        while True:
            rows = await connection.fetch("SELECT owner FROM shards ORDER BY shard")
            names = [row["owner"] for row in rows]
            if min(names.count("bench"), names.count("other")) > 100:
                # Or the leader would even out the very load that is to be compared.
                await connection.execute("UPDATE shards SET frozen = 'bench'")
                rows = await connection.fetch("SELECT owner FROM shards ORDER BY shard")
                return [row["owner"] for row in rows]
            if time.monotonic() > ends:
                raise ProcessFailedError("the second instance did not get its share")
            await asyncio.sleep(0.1)
    finally:
        await connection.close()


def users_of(instance: str, owned: Sequence[str]) -> list[str]:
    """Users whose accounts live there."""
    found: list[str] = []
    while len(found) < USERS:
        user = str(uuid.uuid4())
        if owned[slot_of(user)] == instance:
            found.append(user)
    return found


async def measure(
    rig: Rig, pids: Sequence[int], port: int, users: Sequence[str], seconds: float, width: int
) -> Slice:
    """One slice."""
    requests = cycle([charge(user) for user in users])
    askers = [Asker(requests) for _ in range(width)]
    loop = asyncio.get_running_loop()
    for asker in askers:
        await loop.create_connection(lambda asker=asker: asker.connection, "127.0.0.1", port)  # type: ignore[misc]  # bound now
    before = [cpu_seconds(pid) for pid in pids]
    journal_before, began = family_cpu_seconds(rig.database_pid), time.monotonic()
    for asker in askers:
        asker.go()
    await asyncio.sleep(seconds)
    for asker in askers:
        asker.running = False
    await asyncio.gather(*(asker.ended for asker in askers))
    took = time.monotonic() - began
    spent = sum(cpu_seconds(pid) - then for pid, then in zip(pids, before, strict=True))
    for asker in askers:
        asker.connection.abort("done")
    bad = [status for asker in askers for status in asker.bad]
    if bad:
        raise ProcessFailedError(f"{len(bad)} answers were not 200, the first {bad[0]}")
    count = sum(asker.answers for asker in askers)
    return Slice(count, spent, family_cpu_seconds(rig.database_pid) - journal_before, took)


async def compare(rig: Rig, options: argparse.Namespace) -> tuple[list[Slice], list[Slice]]:
    """Local and remote slices, in turns, after one of each that is not counted."""
    other, _ = rig.start_another("other")
    assert rig.service is not None, "started with the rig"
    pids = (rig.service.pid, other.pid)
    owned = await owners(rig.database_url)
    here, there = users_of("bench", owned), users_of("other", owned)
    local: list[Slice] = []
    remote: list[Slice] = []
    for number in range(options.slices + 1):
        kinds = [(here, local), (there, remote)]
        for users, slices in kinds if number % 2 else reversed(kinds):
            part = await measure(rig, pids, rig.port, users, options.seconds, options.connections)
            if number:
                slices.append(part)
    return local, remote


def show(local: Sequence[Slice], remote: Sequence[Slice]) -> float:
    """Print the table; the ratio of the medians."""
    print("hop: POST /user/charge at one of two instances, for its own users and the other's\n")
    print(f"{'':<10}{'requests/s':>12}{'both services us':>18}{'PostgreSQL us':>15}")
    for name, slices in (("local", local), ("remote", remote)):
        rate = sum(s.requests for s in slices) / sum(s.seconds for s in slices)
        service = statistics.median(s.service_us for s in slices)
        journal = statistics.median(s.journal_us for s in slices)
        print(f"{name:<10}{rate:>12,.0f}{service:>18.1f}{journal:>15.1f}")
    pairs = [far.service_us / near.service_us for near, far in zip(local, remote, strict=True)]
    ratio = statistics.median(s.service_us for s in remote) / statistics.median(
        s.service_us for s in local
    )
    print(f"\nratio {ratio:.2f} of the CPU (slices {min(pairs):.2f} to {max(pairs):.2f})")
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
    try:
        with Rig(Setup(dates=20), settings, lambda text: print(f"bench: {text} ...")) as rig:
            local, remote = asyncio.run(compare(rig, options))
            rig.booking("audit")
    except ProcessFailedError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    return int(show(local, remote) > RATIO_MAX)
