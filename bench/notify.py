"""A consumer that tells, with each commit of its own, which events that was about."""

from collections.abc import Sequence
from typing import Any

from actors.consumers.contract import Consumer, Event

CHANNEL = "bench_notify"
TOLD_TOGETHER = 300
"""Events of one notification: PostgreSQL takes 8,000 bytes."""


async def tell(events: Sequence[Event], connection: Any) -> None:
    """PostgreSQL delivers it when the transaction is committed, and never if it is not."""
    for first in range(0, len(events), TOLD_TOGETHER):
        some = events[first : first + TOLD_TOGETHER]
        told = ",".join(f"{event.shard}:{event.at_ms}" for event in some)
        await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, told)


consumer = Consumer(name="bench-notify", handle=tell, start="end")
