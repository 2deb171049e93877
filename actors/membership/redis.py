"""Membership in Redis (or Valkey): one key for each instance that ends by itself. This says who
lives, never who owns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError

from actors.connections.redis import RedisLink
from actors.membership.contract import Member, MembershipError, MembershipRefusedError

SOCKET_TIMEOUT_S = 1.0
"""Two heartbeats (``heartbeat.BEAT_EVERY_S``): what is answered later is overtaken by the next."""
CALL_TIMEOUT_S = 2.5
"""For a whole call with its retry: a quarter of the time for which an announcement is remembered
(``heartbeat.REMEMBERED_S``), so a beat that failed is made up for before anybody is forgotten."""
CONNECTIONS_MAX = 4
"""A heartbeat, a reading of the members, a deletion; and one to spare."""
SCAN_COUNT = 1000
"""Keys that Redis looks at in one step: a millisecond of its time."""

_REFUSALS = (AuthenticationError, AuthorizationError, NoPermissionError)
"""What no waiting mends."""

_LEAVE = """
local value = redis.call('GET', KEYS[1])
if value and cjson.decode(value)['incarnation'] == ARGV[1] then
    return redis.call('DEL', KEYS[1])
end
return 0
"""


class RedisMembership:
    """``url`` is ``redis://``, ``rediss://`` or ``unix://``. Keys are ``prefix`` and the name of
    the instance; nothing else in the database may begin with the prefix."""

    def __init__(self, url: str, prefix: str = "booking:member:") -> None:
        self._prefix = prefix
        limits = (CALL_TIMEOUT_S, SOCKET_TIMEOUT_S, CONNECTIONS_MAX)
        self._link = RedisLink(url, MembershipError, *limits)

    async def announce(self, member: Member, ttl_s: float) -> None:
        """As the contract says."""
        async with self._reach() as redis:
            await redis.set(
                self._prefix + member.instance, msgspec.json.encode(member), px=round(ttl_s * 1000)
            )

    async def leave(self, member: Member) -> None:
        """As the contract says."""
        key = self._prefix + member.instance
        async with self._reach() as redis:
            await redis.eval(_LEAVE, 1, key, member.incarnation)

    async def members(self) -> list[Member]:
        """As the contract says."""
        async with self._reach() as redis:
            pattern = _literally(self._prefix) + "*"
            # A key may be met twice by a scan that goes over a growing table.
            keys = sorted({key async for key in redis.scan_iter(pattern, SCAN_COUNT)})
            values = await redis.mget(keys) if keys else []
            # One that ended between the two questions has no value any more.
            members = [msgspec.json.decode(value, type=Member) for value in values if value]
        return sorted(members, key=lambda member: member.instance)

    @asynccontextmanager
    async def _reach(self) -> AsyncIterator[Redis]:
        try:
            async with self._link.reach() as redis:
                yield redis
        except MembershipError as error:
            if _refused(error):
                raise MembershipRefusedError(str(error)) from error.__cause__
            raise
        except msgspec.DecodeError as error:
            raise MembershipError(f"a key of another program among the members: {error}") from error

    async def close(self) -> None:
        """Close the connections; what was announced stays until its time is over."""
        await self._link.close()


def _refused(error: BaseException) -> bool:
    """Whether Redis said so; its client wraps what goes wrong while a connection is made."""
    cause = error.__cause__
    return cause is not None and (isinstance(cause, _REFUSALS) or _refused(cause))


def _literally(text: str) -> str:
    """The text as a pattern that matches only itself."""
    return "".join(f"\\{character}" if character in "*?[]\\^" else character for character in text)
