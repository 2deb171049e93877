"""The queue as sorted sets of Redis: with an atomic promotion by script, and without."""

from typing import Any, ClassVar

from redis.asyncio import ConnectionPool, Redis

from bench.methods.queues.queue import Place, Queue, Reached

_CONNECTIONS = 256
"""More than the edge ever has requests: a pool that makes callers wait costs a tenth more."""
_JOIN = """
local known = redis.call('ZSCORE', KEYS[1], ARGV[1]) or redis.call('HGET', KEYS[2], ARGV[1])
if known then return tonumber(known) end
local number = redis.call('INCR', KEYS[3])
redis.call('ZADD', KEYS[1], number, ARGV[1])
return number
"""
_ADMIT = """
local next = redis.call('ZPOPMIN', KEYS[1], ARGV[1])
for i = 1, #next, 2 do
  redis.call('HSET', KEYS[2], next[i], next[i + 1])
  redis.call('RPUSH', KEYS[3], next[i + 1])
end
"""


class _Script(Queue):
    """A sorted set of those who wait, by number. The number is counted up in the script that adds
    the member: a time as the score would let those of one millisecond change places. Promotion is a
    script as well, which Redis runs, and appends to its file, as a whole or not at all."""

    name = "redis"
    title = "Redis, script"
    component = "redis"
    durability = "fsync before the answer (appendfsync always)"
    points: ClassVar[tuple[str, ...]] = ("before", "done")

    async def open(self) -> None:
        parts = ("waiting", "inside", "last", "passes")
        self.waiting, self.inside, self.last, self.passes = (
            f"{{{self.run}}}:{part}" for part in parts
        )
        pool = ConnectionPool.from_url(self.url, max_connections=_CONNECTIONS)
        self._redis: Any = Redis.from_pool(pool)
        self._join, self._admit = [await self._redis.script_load(each) for each in (_JOIN, _ADMIT)]

    async def close(self) -> None:
        await self._redis.aclose()

    async def join(self, user: str) -> int:
        keys = (self.waiting, self.inside, self.last)
        return int(await self._redis.evalsha(self._join, len(keys), *keys, user))

    async def ask(self, user: str, number: int) -> Place | None:
        ahead = await self._redis.zrank(self.waiting, user)
        if ahead is not None:
            return Place(number, ahead, inside=False)
        inside = await self._redis.hget(self.inside, user)
        return Place(int(inside), 0, inside=True) if inside is not None else None

    async def admit(self, count: int, reached: Reached) -> None:
        reached("before")
        keys = (self.waiting, self.inside, self.passes)
        await self._redis.evalsha(self._admit, len(keys), *keys, count)
        reached("done")

    async def admissions(self) -> list[int]:
        return [int(number) for number in await self._redis.lrange(self.passes, 0, -1)]


class _Steps(_Script):
    """The same, but promotion is as it is first written: read who is next, let them in, take them
    out of the line."""

    name = "redis-steps"
    title = "Redis, steps"
    points = ("read", "let in", "taken out")
    loaded = False

    async def admit(self, count: int, reached: Reached) -> None:
        found = await self._redis.zrange(self.waiting, 0, count - 1, withscores=True)
        reached("read")
        if found:
            numbers = {user: int(score) for user, score in found}
            await self._redis.hset(self.inside, mapping=numbers)
            await self._redis.rpush(self.passes, *numbers.values())
            reached("let in")
            await self._redis.zrem(self.waiting, *numbers)
            reached("taken out")


QUEUES = (_Script, _Steps)
