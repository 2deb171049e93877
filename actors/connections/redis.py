"""A connection to Redis (or Valkey) whose calls end.

Redis is allowed to be away, to answer late and to forget. So every call gives up after a moment,
and nothing is tried more than twice.
"""

from __future__ import annotations

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


class RedisLink:
    """A client whose calls give up early. ``url`` is ``redis://``, ``rediss://`` or ``unix://``.
    What goes wrong with Redis is raised as ``refusal``, with words for the log."""

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

    @asynccontextmanager
    async def reach(self) -> AsyncIterator[Redis]:
        """The client, for calls that have to be answered by the time limit together."""
        try:
            async with asyncio.timeout(self._call_timeout_s):
                yield self._client
        except (RedisError, OSError) as error:
            words = str(error) or "no answer in time"
            raise self._refusal(f"{type(error).__name__}: {words}") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
