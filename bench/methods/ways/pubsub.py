"""A lock in one Redis, whose release is told to those who wait."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from redis.asyncio import BlockingConnectionPool, Redis

from bench.methods.way import WAIT_S, Command
from bench.methods.ways.lock import LockWay

LEASE_MS = 3_000
RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', 'released', KEYS[1])
return 1
"""


class PubSubWay(LockWay):
    """``SET NX PX`` with a token; released by a script that asks whether it is still ours and tells
    a channel; who waits asks again when told.

    Reviewed: one subscription for each process, not for each waiter; a local lock lets one waiter
    of a process ask at a time, in order, so a release wakes one, not all; a lost release is
    waited for no longer than the lease. The lock is synced, for one that a restart forgets is
    granted twice. All locks share a channel, so a release is told also when nobody waits; one for
    each would cost every waiter a subscription. No renewal: the work takes milliseconds of three
    seconds.
    A holder that is stopped for longer writes without the lock, because nothing asks at the write.
    """

    name = "pub/sub lock, Redis"
    needs = ("postgres", "redis")
    exact_in = 2

    async def start(self) -> None:
        await super().start()
        pool = BlockingConnectionPool.from_url(self.urls["redis"][0], max_connections=32)
        self._redis = Redis.from_pool(pool)
        self._release = self._redis.register_script(RELEASE)
        self._released: dict[str, asyncio.Event] = {}
        self._channel = self._redis.pubsub(ignore_subscribe_messages=True)
        await self._channel.subscribe("released")
        self._listening = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        await self._channel.aclose()  # type: ignore[no-untyped-call]  # it tells no types
        await self._redis.aclose()
        await super().stop()

    async def _listen(self) -> None:
        async for message in self._channel.listen():
            if event := self._released.get(message["data"].decode()):
                event.set()

    async def update(self, command: Command) -> int:
        """Under the local lock: take the one in Redis, and then do it."""
        async with self._locked(f"lock:{command.row}"):
            return await super().update(command)

    @asynccontextmanager
    async def _locked(self, key: str) -> AsyncIterator[None]:
        token, ends = secrets.token_hex(16), time.monotonic() + WAIT_S
        event = self._released[key] = asyncio.Event()
        try:
            while not await self._redis.set(key, token, nx=True, px=LEASE_MS):
                self.attempts += 1
                if time.monotonic() > ends:
                    raise TimeoutError(key)
                with suppress(TimeoutError):
                    await asyncio.wait_for(event.wait(), LEASE_MS / 1000)
                event.clear()
        finally:
            del self._released[key]
        try:
            yield
        finally:
            await self._release(keys=[key], args=[token])
