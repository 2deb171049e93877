"""A lock that a majority of five Redis servers grants."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import BlockingConnectionPool, Redis

from bench.methods.way import Command, decide
from bench.methods.ways.lock import LockWay

LEASE_S = 2.0
ASK_S = 0.5
"""What one server may take to answer: much less than the lease."""
DRIFT_S = 0.002 + LEASE_S * 0.01
"""How far clocks may go apart meanwhile, as the algorithm's text has it."""
RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class RedlockWay(LockWay):
    """Ask all five at once; three that say yes in time are the lock; else give all back and wait.

    Reviewed: its authors' algorithm, with a token, clock drift taken off, all five asked at the
    same time, each with a time limit, released whatever they said, and random waits. Locks are not
    synced: a server that was restarted stays away for longer than a lease, as its authors advise. A
    local lock lets one waiter of a process ask at a time. As published it has no fence: who is
    stopped past the lease still writes.
    """

    name = "Redlock, five Redis"
    needs = ("postgres", "locks")
    exact_in = 2
    interruptible = writes_stale = True

    async def start(self) -> None:
        await super().start()
        settings = {"max_connections": 32, "socket_timeout": ASK_S}
        pools = [BlockingConnectionPool.from_url(url, **settings) for url in self.urls["locks"]]
        self._servers = [Redis.from_pool(pool) for pool in pools]
        self._releases = [server.register_script(RELEASE) for server in self._servers]

    async def stop(self) -> None:
        await asyncio.gather(*(server.aclose() for server in self._servers))
        await super().stop()

    async def update(self, command: Command) -> int:
        """Under the local lock: take the distributed one, and then do it."""
        async with self.locked(command.row):
            return await super().update(command)

    @asynccontextmanager
    async def locked(self, row: int) -> AsyncIterator[None]:
        """Hold the row's lock, for as long as the lease lasts."""
        key, token = f"lock:{row}", secrets.token_hex(16)
        await self.until_done(lambda: self._granted(key, token))
        try:
            yield
        finally:
            await self._give_back(key, token)

    async def _granted(self, key: str, token: str) -> bool | None:
        began, lease_ms = time.monotonic(), int(LEASE_S * 1000)
        asked = (server.set(key, token, nx=True, px=lease_ms) for server in self._servers)
        answers = await asyncio.gather(*asked, return_exceptions=True)  # one that is away: no vote
        left_s = LEASE_S - DRIFT_S - (time.monotonic() - began)
        if sum(answer is True for answer in answers) > len(self._servers) // 2 and left_s > 0:
            return True
        await self._give_back(key, token)
        return None

    async def _give_back(self, key: str, token: str) -> None:
        asked = (release(keys=[key], args=[token]) for release in self._releases)
        await asyncio.gather(*asked, return_exceptions=True)


class FencedRedlockWay(RedlockWay):
    """Redlock with a fence: the write is refused if the row changed since it was read.

    Reviewed: the version column is the fencing token, checked where the write is. With it the lock
    only spares tries, and the optimistic way needs no lock at all: that is what a fence costs it.
    """

    name = "Redlock with a fence"
    writes_stale = False

    async def update(self, command: Command) -> int:
        """Write only on top of what was read; who is refused begins anew, with a fresh lock."""
        return await self.until_done(lambda: self._attempt(command))

    async def _attempt(self, command: Command) -> int | None:
        async with self.locked(command.row), self.database.session() as session:
            before, version = await self.database.read(session, command.row)
            value = decide(before, command)
            written = await self.database.write(session, command, value, version)
        return value if written else None
