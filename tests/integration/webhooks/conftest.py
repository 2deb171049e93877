"""Webhooks of one instance over a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from ipaddress import ip_network

import pytest

from actors.tasks import Tasks
from booking.webhooks.sending import Webhooks
from booking.webhooks.store import WebhookStore

LOOPBACK = (ip_network("127.0.0.0/8"),)
Another = Callable[[], Webhooks]


@pytest.fixture
async def another(database_url: str) -> AsyncIterator[Another]:
    """Makes those of one more instance."""
    made: list[Webhooks] = []

    def make() -> Webhooks:
        made.append(Webhooks(WebhookStore(database_url), LOOPBACK, "/booking/test", lambda: 0.5))
        return made[-1]

    yield make
    for webhooks in made:
        await webhooks.close()


@pytest.fixture
def webhooks(another: Another) -> Webhooks:
    return another()


@pytest.fixture
async def sending(webhooks: Webhooks) -> AsyncIterator[Webhooks]:
    """They deliver."""
    tasks = Tasks("webhooks of a test")
    tasks.spawn(webhooks.run(tasks), "run")
    yield webhooks
    await tasks.close()
    assert not tasks.failed.done()
