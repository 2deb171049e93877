"""Brokers that cannot be had: each is a fault that passes, told within seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from booking.relay import consumer
from booking.relay.consumer import Broker
from booking.relay.kafka import KafkaBroker
from booking.relay.nats import NatsBroker
from tests.support.served import free_port
from tests.support.servers import silent_server
from tests.unit.relay.test_relay import public

KINDS: dict[str, Callable[[int], Broker]] = {
    "nats": lambda port: NatsBroker(f"nats://127.0.0.1:{port}"),
    "kafka": lambda port: KafkaBroker(f"127.0.0.1:{port}"),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_nobody_listens(kind: str) -> None:
    broker = KINDS[kind](free_port())
    async with asyncio.timeout(2 * consumer.ANSWER_MAX_S):
        with pytest.raises(ConnectionError, match=rf"(?i)^{kind}: "):
            await broker.publish([public(1, "a")])
    await broker.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_somebody_listens_and_never_answers(kind: str) -> None:
    async with silent_server() as port:
        broker = KINDS[kind](port)
        async with asyncio.timeout(3 * consumer.ANSWER_MAX_S):
            with pytest.raises(ConnectionError, match=rf"(?i)^{kind}: "):
                await broker.publish([public(1, "a")])
        await broker.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait(left, timeout=consumer.ANSWER_MAX_S)
