"""NATS JetStream: the stream ``BOOKING``, which is made if it is not there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from nats.aio.client import Client
from nats.errors import Error
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.errors import APIError, NotFoundError

from booking.events.contract import MEDIA_TYPE, CloudEvent
from booking.relay.consumer import ANSWER_MAX_S

log = logging.getLogger(__name__)

STREAM = "BOOKING"
SUBJECTS = "booking.events"
KEPT_S = 7 * 86_400
"""How long a stream made here keeps an event, for followers that are away."""
REPLICAS = 3
"""Of a stream made here in a cluster; a server alone has one."""
IN_FLIGHT_MAX = 2_000
_NOT_CLUSTERED = 10_074
"""JetStream's code for replicas asked of a server alone."""


def subject_of(event: CloudEvent) -> str:
    """Of its type without the version: ``booking.events.seat.held``."""
    _, noun, verb, _ = event.type.split(".")
    return f"{SUBJECTS}.{noun}.{verb}"


class NatsBroker:
    """``url`` names the servers of one cluster, separated by commas."""

    def __init__(self, url: str) -> None:
        self._servers = url.split(",")
        self._client: Client | None = None
        self._stream: JetStreamContext | None = None
        self._lost: asyncio.Future[None] | None = None

    async def publish(self, events: Sequence[CloudEvent]) -> None:
        """As the contract says."""
        try:
            async with asyncio.timeout(ANSWER_MAX_S):
                stream = self._stream or await self._open()
                acks = [
                    await stream.publish_async(
                        subject_of(event),
                        event.encode(),
                        stream=STREAM,
                        headers={"Nats-Msg-Id": event.id, "Content-Type": MEDIA_TYPE},
                    )
                    for event in events
                ]
                await self._all(asyncio.gather(*acks))
        except (OSError, Error) as error:
            # Also the connection: what it still holds would come after what is sent again.
            await self.close()
            raise ConnectionError(f"NATS: {type(error).__name__}: {error}") from error

    async def _all(self, acks: asyncio.Future[Any]) -> None:
        """Nobody tells the acknowledgements that the connection they would come on is gone."""
        assert self._lost is not None
        await asyncio.wait({acks, self._lost}, return_when=asyncio.FIRST_COMPLETED)
        if not acks.done():
            acks.cancel()
            raise ConnectionError("the connection was lost")
        await acks

    async def _open(self) -> JetStreamContext:
        """No reconnecting behind our back: a new connection is a new attempt at the whole batch."""
        self._lost = lost = asyncio.get_running_loop().create_future()

        async def gone() -> None:
            if not lost.done():
                lost.set_result(None)

        self._client = client = Client()  # Before it connects: half a connection is closed, too.
        await client.connect(
            self._servers,
            name="booking relay",
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=2,
            pending_size=16 * 1024 * 1024,
            error_cb=_complain,
            closed_cb=gone,
        )
        stream: JetStreamContext = client.jetstream(
            timeout=ANSWER_MAX_S, publish_async_max_pending=IN_FLIGHT_MAX
        )
        try:
            await stream.stream_info(STREAM)
        except NotFoundError:
            await _make(stream)
        self._stream = stream
        return stream

    async def close(self) -> None:
        """As the contract says."""
        client, self._client, self._stream = self._client, None, None
        if client is not None:
            try:
                await client.close()
            except (OSError, Error) as error:
                await _complain(error)


async def _make(stream: JetStreamContext) -> None:
    config = StreamConfig(
        STREAM,
        description="Public events of booking, as CloudEvents 1.0.",
        subjects=[f"{SUBJECTS}.>"],
        max_age=KEPT_S,
        num_replicas=REPLICAS,
    )
    try:
        await stream.add_stream(config)
    except APIError as error:
        if error.err_code != _NOT_CLUSTERED:
            raise
        await stream.add_stream(config, num_replicas=1)


async def _complain(error: Exception) -> None:
    log.warning("NATS: %s: %s", type(error).__name__, error)


connect = NatsBroker
