"""Membership in Redis (or Valkey): one key for each instance that ends by itself. This says who
lives, never who owns."""

import re
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import msgspec
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError

from actors.connections.redis import RedisLink, key_of
from actors.membership.contract import Member, MembershipError, MembershipRefusedError
from actors.membership.foreign import ForeignInstances

SOCKET_TIMEOUT_S = 1.0
"""Two heartbeats (``heartbeat.BEAT_EVERY_S``): what is answered later is overtaken by the next."""
CALL_TIMEOUT_S = 2.5
"""For a call with its retry: a quarter of the time that an announcement is remembered."""
CONNECTIONS_MAX = 4
"""A heartbeat, a reading of the members, a deletion; and one to spare."""
SCAN_COUNT = 1000
"""Keys that Redis looks at in one step: a millisecond of its time."""

_ANY_MEMBER = key_of("", "*member:*")
_OF_CLUSTER = re.compile(key_of("(?P<cluster>[^:]+)", "member:(?P<instance>.+)"))

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
    """``url`` is ``redis://``, ``rediss://`` or ``unix://``. Keys are the cluster's own; members of
    others in the same database are ``foreign``."""

    def __init__(
        self, url: str, cluster: str = "", foreign: ForeignInstances | None = None
    ) -> None:
        self._prefix = key_of(cluster, "member:")
        self._foreign = foreign
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
            # A key may be met twice by a scan that goes over a growing table.
            found = {key async for key in redis.scan_iter(_ANY_MEMBER, SCAN_COUNT)}
            keys = sorted(key for key in found if key.startswith(self._prefix.encode()))
            values = await redis.mget(keys) if keys else []
            # One that ended between the two questions has no value any more.
            members = [msgspec.json.decode(value, type=Member) for value in values if value]
        self._note_foreign(found.difference(keys))
        return sorted(members, key=lambda member: member.instance)

    def _note_foreign(self, keys: Collection[bytes]) -> None:
        for key in keys:
            of_cluster = _OF_CLUSTER.fullmatch(key.decode(errors="replace"))
            if of_cluster is not None and self._foreign is not None:
                self._foreign.met(of_cluster["instance"], of_cluster["cluster"], "in Redis")

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
