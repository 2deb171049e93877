"""Calls to Redis that end: what its users here share.

Redis is allowed to be away, to answer late and to forget. So every call gives up after a moment,
and nothing is tried more than twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import RedisError

RETRIES = 1
"""For the connection that was closed while it lay idle; a second failure is an outage."""
RETRY_WAIT_S = 0.02


def redis_at(url: str, *, socket_timeout_s: float, connections_max: int) -> Redis:
    """A client that gives up early. ``url`` is ``redis://``, ``rediss://`` or ``unix://``."""
    client: Redis = Redis.from_url(
        url,
        socket_timeout=socket_timeout_s,
        socket_connect_timeout=socket_timeout_s,
        max_connections=connections_max,
        retry=Retry(ConstantBackoff(RETRY_WAIT_S), RETRIES),
        decode_responses=False,
    )
    return client


@asynccontextmanager
async def reaching(timeout_s: float, refusal: Callable[[str], Exception]) -> AsyncIterator[None]:
    """Everything in the block has to be answered within ``timeout_s``; what goes wrong with Redis
    is raised as ``refusal``, with words for the log."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except (RedisError, OSError) as error:
        words = str(error) or "no answer in time"
        raise refusal(f"{type(error).__name__}: {words}") from error
