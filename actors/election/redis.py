"""The election in Redis (or Valkey): one key that expires, changed only by its holder."""

from actors.connections.redis import RedisLink, key_of
from actors.election.contract import KEY_TTL_S, ElectionError

CALL_TIMEOUT_S = 0.8
"""For a call with its retry: two renewals may fail before the leader gives up."""
SOCKET_TIMEOUT_S = 0.7
CONNECTIONS_MAX = 2
"""One call at a time, and one to spare for what a time-out left behind."""

_CAMPAIGN = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RESIGN = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('DEL', KEYS[1])
end
return 0
"""


class RedisElection:
    """``url`` is ``redis://``, ``rediss://`` or ``unix://``. The key is the cluster's alone."""

    def __init__(self, url: str, cluster: str = "", ttl_s: float = KEY_TTL_S) -> None:
        self._key = key_of(cluster, "leader")
        self.ttl_s = ttl_s
        limits = (CALL_TIMEOUT_S, SOCKET_TIMEOUT_S, CONNECTIONS_MAX)
        self._link = RedisLink(url, ElectionError, *limits)

    async def campaign(self, incarnation: str) -> bool:
        """As the contract says."""
        ttl_ms = round(self.ttl_s * 1000)
        async with self._link.reach() as redis:
            return bool(await redis.eval(_CAMPAIGN, 1, self._key, incarnation, str(ttl_ms)))

    async def resign(self, incarnation: str) -> None:
        """As the contract says."""
        async with self._link.reach() as redis:
            await redis.eval(_RESIGN, 1, self._key, incarnation)

    async def leader(self) -> str | None:
        """As the contract says."""
        async with self._link.reach() as redis:
            holder = await redis.get(self._key)
        return holder.decode(errors="replace") if isinstance(holder, bytes) else holder

    async def close(self) -> None:
        """Close the connections; a grant stays until its time is over."""
        await self._link.close()
