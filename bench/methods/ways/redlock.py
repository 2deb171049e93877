"""A lock that a majority of five Redis servers grants."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from itertools import count

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError

from bench.methods.way import WAIT_S, Command, decide, jitter
from bench.methods.ways.lock import LockWay

LEASE_S = 3.0
ASK_S = 0.5
"""What one server may take to answer: much less than the lease."""
DRIFT_S = 0.002 + LEASE_S * 0.01
"""How far clocks may go apart meanwhile, as the algorithm's text has it."""
RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class RedlockWay(LockWay):
    """Ask all five at once; three that say yes in time are the lock; else give all back and wait.

    Reviewed: its authors' algorithm, with a token, clock drift taken off, all five asked at the
    same time and released whatever they said, and random waits. Each server syncs before it says
    yes, or a restarted one could grant twice. A local lock lets one waiter of a process ask at a
    time. As published it has no fence: who is stopped past the lease still writes.
    """

    name = "Redlock, five Redis"
    needs = ("postgres", "redis")
    exact_in = 2

    async def start(self) -> None:
        await super().start()
        self._servers = [
            Redis.from_pool(BlockingConnectionPool.from_url(url, max_connections=32))
            for url in self.urls["redis"]
        ]

    async def stop(self) -> None:
        await asyncio.gather(*(server.aclose() for server in self._servers))
        await super().stop()

    async def update(self, command: Command) -> int:
        """Under the local lock: take the distributed one, and then do it."""
        async with self._locked(f"lock:{command.row}"):
            return await super().update(command)

    @asynccontextmanager
    async def _locked(self, key: str) -> AsyncIterator[None]:
        token, began = secrets.token_hex(16), time.monotonic()
        for tries in count():
            if await self._granted(key, token):
                break
            await self._give_back(key, token)
            if time.monotonic() - began > WAIT_S:
                raise TimeoutError(key)
            await asyncio.sleep(jitter(tries))
            self.attempts += 1
        try:
            yield
        finally:
            await self._give_back(key, token)

    async def _granted(self, key: str, token: str) -> bool:
        began = time.monotonic()
        lease_ms = int(LEASE_S * 1000)
        asked = [self._ask(each.set(key, token, nx=True, px=lease_ms)) for each in self._servers]
        votes = sum(map(bool, await asyncio.gather(*asked)))
        left_s = LEASE_S - DRIFT_S - (time.monotonic() - began)
        return votes > len(self._servers) // 2 and left_s > 0

    async def _give_back(self, key: str, token: str) -> None:
        asked = (self._ask(each.eval(RELEASE, 1, key, token)) for each in self._servers)
        await asyncio.gather(*asked)

    async def _ask(self, answer: Awaitable[object]) -> object:
        """One server's answer; ``None`` from one that is away."""
        try:
            return await asyncio.wait_for(answer, ASK_S)
        except (RedisError, TimeoutError, OSError):
            return None


class FencedRedlockWay(RedlockWay):
    """Redlock with a fence: the write is refused if the row changed since it was read.

    Reviewed: the version column is the fencing token, checked where the write is. With it the lock
    only spares tries, and the optimistic way needs no lock at all: that is what a fence costs it.
    """

    name = "Redlock with a fence"

    async def update(self, command: Command) -> int:
        """Write only on top of what was read; who is refused begins anew, with a fresh lock."""
        for _ in count():
            async with self._locked(f"lock:{command.row}"), self.database.session() as session:
                before, version = await self.database.read(session, command.row)
                value = decide(before, command)
                if await self.database.write(session, command, value, version):
                    return value
            self.attempts += 1
        raise AssertionError("unreachable")
