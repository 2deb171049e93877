"""Endpoints and deliveries in PostgreSQL: see ``statements.sql``. Every method but :func:`put` may
raise :class:`~actors.journal.contract.JournalError`."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import msgspec

from actors.connections.postgres import Link, LinkPool, statements
from booking.events.contract import CloudEvent
from booking.webhooks.contract import (
    ENDPOINTS_MAX,
    AttemptResult,
    DeliveryView,
    Posting,
    State,
    UnknownWebhookError,
    WebhookError,
    WebhookView,
)

TIMEOUT_S = 5.0
SLOW_TIMEOUT_S = 60.0
"""For what concerns many deliveries at once."""
FORGOTTEN_MAX = 10_000
"""Rows of one look."""
POOL_SIZE = 4
"""Operators do not wait for deliveries, nor they for them."""
KEPT_S, DEAD_KEPT_S = 86_400.0, 30 * 86_400.0
"""How long what was delivered can be looked at, and what was given up be sent again."""
PATIENCE_S = 3 * 86_400.0
"""Of failures alone, before an endpoint is disabled: every delivery has had all its attempts."""

SKEW = timedelta(seconds=10)
"""An endpoint is told of what happened so long before it was made, and of nothing older: the clock
that times events may be a little behind the database's."""

_SQL = statements("booking.webhooks", "statements.sql")


class Listener(msgspec.Struct, frozen=True):
    """An endpoint that is told of events."""

    id: str
    types: frozenset[str]
    """None: all."""
    since: datetime

    def wants(self, event: CloudEvent) -> bool:
        """Whether it is told of this one."""
        return event.time >= self.since and (not self.types or event.type in self.types)


async def listeners(connection: asyncpg.Connection) -> list[Listener]:
    """All of them. None is deleted before the transaction of the connection has ended."""
    return [
        Listener(row["id"], frozenset(row["types"]), row["created_at"] - SKEW)
        for row in await connection.fetch(_SQL["listeners"].text)
    ]


async def put(connection: asyncpg.Connection, wanted: Iterable[tuple[str, CloudEvent]]) -> None:
    """Write down that these endpoints are to be told of these events."""
    rows = [(to, each.id, each.type, each.encode().decode()) for to, each in wanted]
    if rows:
        await connection.execute(_SQL["put"].text, *map(list, zip(*rows, strict=True)))


class WebhookStore:
    """The connections of one instance."""

    def __init__(self, dsn: str) -> None:
        self._links = LinkPool(dsn, TIMEOUT_S, POOL_SIZE)
        self._slow = Link(dsn, SLOW_TIMEOUT_S)

    async def _fetch(self, name: str, **values: Any) -> Sequence[asyncpg.Record]:
        return await self._links.fetch(_SQL[name], **values)

    async def close(self) -> None:
        """Close every connection."""
        await self._links.close()
        await self._slow.close()

    # -- sending -----------------------------------------------------------------------------------

    async def take(self, busy: Mapping[str, int], each: int, lease_s: float) -> list[Posting]:
        """What is due, at most so much of each endpoint less what is ``busy`` here. Nobody else
        has it until the lease ends."""
        values = {"busy": list(busy), "counts": list(busy.values())}
        found = await self._fetch("take", each=each, lease_s=lease_s, **values)
        return [Posting(**dict(row)) for row in found]

    async def delivered(self, posting: Posting, answered: AttemptResult) -> None:
        """It was a success, whoever may have taken it meanwhile."""
        where = {"endpoint": posting.endpoint, "event": posting.event}
        await self._fetch("delivered", status=answered.status, **where)

    async def failed(
        self, posting: Posting, answered: AttemptResult, delay_s: float | None, patience_s: float
    ) -> bool:
        """Try again after a delay, or never; whether the endpoint is disabled now."""
        found = await self._fetch(
            "failed",
            endpoint=posting.endpoint,
            event=posting.event,
            attempts=posting.attempts,
            status=answered.status,
            trouble=answered.trouble,
            gone=answered.gone,
            delay_s=delay_s,
            patience_s=patience_s,
        )
        return bool(found)

    async def forget(self) -> None:
        """Delete what has been over for long."""
        values = {"kept_s": KEPT_S, "dead_kept_s": DEAD_KEPT_S, "most": FORGOTTEN_MAX}
        await self._slow.fetch(_SQL["forget"], **values)

    # -- operators ---------------------------------------------------------------------------------

    async def create(self, url: str, about: str, types: Sequence[str], secret: str) -> str:
        """Add an endpoint; its id. Raises :class:`WebhookError`."""
        name = f"we_{secrets.token_hex(8)}"
        values = {"url": url, "about": about, "types": list(types), "secret": secret}
        if not await self._fetch("create", id=name, most=ENDPOINTS_MAX, **values):
            raise WebhookError(f"there are {ENDPOINTS_MAX} endpoints already")
        return name

    async def change(self, name: str, **changes: Any) -> None:
        """Change its ``url, about, types`` or ``enabled``; the rest stays."""
        values = dict.fromkeys(("url", "about", "types", "enabled")) | changes
        self._found(name, await self._fetch("change", id=name, **values))

    async def rotate(self, name: str, secret: str, overlap_s: float) -> None:
        """Sign with another secret, and so long with the present one too."""
        self._found(name, await self._fetch("rotate", id=name, secret=secret, overlap_s=overlap_s))

    async def delete(self, name: str) -> None:
        """Delete it with all that is to be delivered."""
        self._found(name, await self._slow.fetch(_SQL["delete"], id=name))

    async def posting(self, name: str, event: str, body: str) -> Posting:
        """An attempt that is of no delivery."""
        [row] = self._found(name, await self._fetch("endpoint", id=name))
        return Posting(name, event, body, 1, **dict(row))

    async def all(self) -> list[WebhookView]:
        """All endpoints."""
        return [WebhookView(**dict(row)) for row in await self._fetch("endpoints", id=None)]

    async def view(self, name: str) -> WebhookView:
        """One endpoint."""
        [row] = self._found(name, await self._fetch("endpoints", id=name))
        return WebhookView(**dict(row))

    async def deliveries(self, name: str, state: State | None, limit: int) -> list[DeliveryView]:
        """The newest ones of an endpoint, in this state or in any."""
        await self.view(name)
        found = await self._fetch("deliveries", id=name, state=state, limit=limit)
        return [DeliveryView(**dict(row)) for row in found]

    async def resend(self, name: str, events: Sequence[str]) -> int:
        """Send these again that have ended, or all that were given up; how many."""
        await self.view(name)
        [row] = await self._slow.fetch(_SQL["resend"], id=name, events=list(events))
        return int(row["count"])

    def _found(self, name: str, rows: Sequence[asyncpg.Record]) -> Sequence[asyncpg.Record]:
        if not rows:
            raise UnknownWebhookError(name)
        return rows
