"""A lock in one Redis, whose release is told to those who wait."""

import asyncio
import secrets
from contextlib import suppress

from redis.asyncio import BlockingConnectionPool, Redis

from bench.methods.way import WAIT_S, Command
from bench.methods.ways.lock import LockWay

LEASE_S = 2.0
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
    of a process ask at a time, in order, so a release wakes one, not all; a release that is not
    heard is waited for no longer than the lease. Locks are not synced: a Redis that was restarted
    stays away for longer than a lease instead. All locks share a channel; one for each would cost
    every waiter a subscription. No renewal: the work takes milliseconds of two seconds.
    A holder that is stopped for longer writes without the lock, because nothing asks at the write.
    """

    name = "pub/sub lock, Redis"
    needs = ("postgres", "locks")
    exact_in = 2
    interruptible = writes_stale = True

    async def start(self) -> None:
        await super().start()
        pool = BlockingConnectionPool.from_url(self.urls["locks"][0], max_connections=32)
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
        key, token = f"lock:{command.row}", secrets.token_hex(16)
        async with asyncio.timeout(WAIT_S):
            await self._take(key, token)
        try:
            return await super().update(command)
        finally:
            await self._release(keys=[key], args=[token])

    async def _take(self, key: str, token: str) -> None:
        event = self._released[key] = asyncio.Event()
        try:
            while not await self._redis.set(key, token, nx=True, px=int(LEASE_S * 1000)):
                self.attempts += 1
                with suppress(TimeoutError):
                    await asyncio.wait_for(event.wait(), LEASE_S)
                event.clear()
        finally:
            del self._released[key]
