"""A connection to Redis (or Valkey) whose calls end: Redis may be away, late or empty."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import RedisError

RETRIES = 1
"""For the connection that was closed while it lay idle; a second failure is an outage."""
RETRY_WAIT_S = 0.02


def key_of(cluster: str, name: str) -> str:
    """The cluster's own key; without a cluster that of releases before there were any."""
    return f"booking:{cluster}:{name}" if cluster else f"booking:{name}"


class RedisLink:
    """A client whose calls give up early. What goes wrong is raised as ``refusal``, in words."""

    def __init__(
        self,
        url: str,
        refusal: type[Exception],
        call_timeout_s: float,
        socket_timeout_s: float,
        connections_max: int,
    ) -> None:
        self._refusal = refusal
        self._call_timeout_s = call_timeout_s
        self._client: Redis = Redis.from_url(
            url,
            socket_timeout=socket_timeout_s,
            socket_connect_timeout=socket_timeout_s,
            max_connections=connections_max,
            retry=Retry(ConstantBackoff(RETRY_WAIT_S), RETRIES),
            decode_responses=False,
        )
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    @asynccontextmanager
    async def reach(self) -> AsyncIterator[Redis]:
        """The client, for calls that have to be answered by the time limit together."""
        if self._closed:
            raise self._refusal("the link to Redis is closed")
        self._calls += 1
        self._idle.clear()
        try:
            async with asyncio.timeout(self._call_timeout_s):
                yield self._client
        except (RedisError, OSError) as error:
            words = str(error) or "no answer in time"
            raise self._refusal(f"{type(error).__name__}: {words}") from error
        finally:
            self._calls -= 1
            if not self._calls:
                self._idle.set()

    async def close(self) -> None:
        """Refuse further calls, wait for those under way, and close the connections."""
        self._closed = True
        await self._idle.wait()
        await self._client.aclose()
