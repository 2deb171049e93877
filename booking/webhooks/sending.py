"""Webhooks on one instance: writing down what is to be delivered, and delivering what is due.

::

    journal -> consumer: a row for each endpoint and event, in the transaction of its offsets
                   |
    any instance -> take what is due, under a lease -> post -> delivered, due again later, or dead

Each endpoint has room for a few requests here and no more, so that one that is slow or down holds
up nobody else. Attempts for one endpoint go on beside each other, and what failed comes later:
order is not kept.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

import msgspec
from attrs import define, field

from actors.consumers.contract import Consumer, Event
from actors.core.supervision import where
from actors.journal.contract import JournalError
from actors.tasks import Tasks, comes
from booking.events.contract import TYPES
from booking.events.mapping import translate
from booking.events.places import KINDS, keep, places_of
from booking.webhooks.addresses import Network, refusal
from booking.webhooks.contract import (
    AttemptResult,
    Posting,
    WebhookError,
    WebhookView,
    next_delay_s,
    secret_of,
)
from booking.webhooks.posting import TIMEOUT_S, Poster
from booking.webhooks.store import PATIENCE_S, WebhookStore, listeners, put

log = logging.getLogger(__name__)

NAME = "webhooks"
EACH = 16
"""Requests of one endpoint under way here."""
LEASE_S = 2 * TIMEOUT_S
"""What somebody has taken who dies comes again after it."""
PACE_S = 0.002
"""Between two requests of whatever endpoints: each costs the loop that sells half a millisecond."""
GATHER_S = 0.02
"""From news to a look: what comes meanwhile is looked for with it."""
LOOK_EVERY_S = 1.0
"""For what came due, and what other instances wrote down."""
COUNT_EVERY_S = 30.0
"""Between two looks at all endpoints, for metrics, and at what can be forgotten."""
PING = "booking.webhook.ping.v1"


@define(eq=False)
class Webhooks:
    """Of one instance."""

    store: WebhookStore
    _allowed: Sequence[Network]
    """Private networks that may be reached."""
    _source: str
    """Of public events."""
    _draw: Callable[[], float] = random.random
    _poster: Poster = field(init=False)
    outcomes: Counter[str] = field(factory=Counter, init=False)
    """Attempts made here: ``delivered``, ``retried``, ``dead``."""
    views: Sequence[WebhookView] = field(default=(), init=False)
    """All endpoints, as they were seen last."""
    _busy: Counter[str] = field(factory=Counter, init=False)
    _news: asyncio.Event = field(factory=asyncio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self._poster = Poster(self._allowed)

    def consumer(self) -> Consumer:
        """Writes down what is to be delivered. It begins where the journal does, because whom an
        event concerns may have been said long before."""
        return Consumer(name=NAME, handle=self._handle, kinds=KINDS)

    async def _handle(self, events: Sequence[Event], connection: Any) -> None:
        places = await places_of(connection, events)
        told = list(translate(events, self._source, places))
        if wanted := await listeners(connection):
            pairs = ((one.id, each) for each in told for one in wanted if one.wants(each))
            await put(connection, pairs)
            self._news.set()
        await keep(connection, places)

    async def run(self, tasks: Tasks) -> None:
        """Deliver what is due, in tasks of their own, until cancelled."""
        loop = asyncio.get_running_loop()
        count_s = 0.0
        while True:
            try:
                for posting in await self.store.take(self._busy, EACH, LEASE_S):
                    self._busy[posting.endpoint] += 1
                    tasks.spawn(self._deliver(posting), f"webhook-{posting.event}")
                    await asyncio.sleep(PACE_S)
                if loop.time() >= count_s:
                    self.views = await self.store.all()
                    await self.store.forget()
                    count_s = loop.time() + COUNT_EVERY_S
            except Exception as error:  # noqa: BLE001 - whatever it is, the instance goes on
                words = error if isinstance(error, JournalError) else where(error)
                log.warning("webhooks wait: %s", words)
                await asyncio.sleep(LOOK_EVERY_S)
            await comes(self._news, LOOK_EVERY_S)
            await asyncio.sleep(GATHER_S)
            self._news.clear()

    async def _deliver(self, posting: Posting) -> None:
        try:
            answered = await self._poster.post(posting)
            await self._note(posting, answered)
        except JournalError as error:
            log.warning("what became of event %s is not noted: %s", posting.event, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the instance goes on
            log.error("event %s was not sent: %s", posting.event, where(error))
        finally:
            self._busy[posting.endpoint] -= 1
            self._busy += Counter()  # Without those that have nothing under way.
            self._news.set()

    async def _note(self, posting: Posting, answered: AttemptResult) -> None:
        if not answered.trouble:
            await self.store.delivered(posting, answered)
            self.outcomes["delivered"] += 1
            return
        delay_s = next_delay_s(posting.attempts, answered, self._draw())
        if await self.store.failed(posting, answered, delay_s, PATIENCE_S):
            log.error("webhook %s is disabled: %s", posting.endpoint, answered.trouble)
        self.outcomes["dead" if delay_s is None else "retried"] += 1

    # -- operators ---------------------------------------------------------------------------------

    async def create(
        self, url: str, types: Sequence[str], about: str, secret: str | None
    ) -> tuple[str, str]:
        """Add an endpoint; its id, and its secret, which nobody is told again. Raises
        :class:`~booking.webhooks.contract.WebhookError`."""
        self._check(url, types)
        secret = secret_of(secret)
        return await self.store.create(url, about, types, secret), secret

    async def change(self, name: str, **changes: Any) -> None:
        """As the store's, after the checks of :meth:`create`."""
        self._check(changes.get("url"), changes.get("types", ()))
        await self.store.change(name, **changes)

    def _check(self, url: str | None, types: Sequence[str]) -> None:
        if url is not None and (words := refusal(url, self._allowed)):
            raise WebhookError(f"url: {words}")
        for each in types:
            if each not in TYPES.values():
                raise WebhookError(f"types: there is no {each}")

    async def ping(self, name: str) -> AttemptResult:
        """Post an event that means nothing, now, and tell what came of it."""
        id_ = f"ping-{token_hex(8)}"
        event = {
            "specversion": "1.0",
            "id": id_,
            "source": self._source,
            "type": PING,
            "subject": f"webhook/{name}",
            "time": datetime.now(UTC),
            "data": {},
        }
        body = msgspec.json.encode(event).decode()
        return await self._poster.post(await self.store.posting(name, id_, body))

    async def close(self) -> None:
        """Close every connection."""
        await self._poster.close()
        await self.store.close()
