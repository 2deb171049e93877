"""What all calls of operators share: the parts they reach, refusals, counts, the audit trail."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import msgspec
from aiohttp import web
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from actors.cluster.admin import ClusterAdmin
from actors.cluster.admin_views import OperationRefusedError
from actors.consumers.operations import Consumers, UnknownConsumerError
from actors.journal.contract import JournalError
from booking.audit.report import AuditRunningError, AuditService
from booking.catalogue.contract import CatalogueStore
from booking.catalogue.problems import DocumentError
from booking.catalogue.store import CatalogueError
from booking.queue.service import QueueService
from booking.webhooks.contract import UnknownWebhookError, WebhookError
from booking.webhooks.sending import Webhooks
from booking_http.admin.access import Access
from booking_http.inputs import BodyReader
from booking_http.metrics import counted
from booking_http.problems import RefusedError, of_exception, retry_after
from booking_http.reply import Reply
from booking_http.routes import Call, Calls, Handler, Route
from booking_http.schemas import Complaint

T = TypeVar("T")

_RETRY_S = 1.0
_REFUSALS = (
    DocumentError,
    CatalogueError,
    AuditRunningError,
    UnknownConsumerError,
    UnknownWebhookError,
    WebhookError,
    ValueError,
)
"""Of the application, for what is written down here: nothing was done."""
_REFUSED_WORDS_MAX = 300
"""Characters kept of a refusal; a document can have fifty problems."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminParts:
    """What operators may reach. What is left out answers 503."""

    token: str = field(default="", repr=False)
    """Empty: everybody is answered 403."""
    operations: ClusterAdmin | None = None
    queues: QueueService | None = None
    catalogue: CatalogueStore | None = None
    audits: AuditService | None = None
    consumers: Consumers | None = None
    webhooks: Webhooks | None = None


class Done(msgspec.Struct, frozen=True):
    """What was asked is in force, or under way, and in the audit trail."""

    what: str
    target: str
    who: str


class AdminCounts(Collector):
    """Every call by its name, and whether it was done, refused (4xx) or failed (5xx)."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._calls: Counter[tuple[str, str]] = Counter()

    def expect(self, call: str) -> None:
        """Begin the counts of a call at 0, so that its first use shows as a rise."""
        self._calls.update({(call, outcome): 0 for outcome in ("done", "refused", "failed")})

    def count(self, call: str, status: int) -> None:
        """Count one answer."""
        outcome = "done" if status < 400 else "refused" if status < 500 else "failed"
        self._calls[call, outcome] += 1

    def collect(self) -> Iterable[Metric]:
        """The counts as Prometheus reads them."""
        yield counted(
            "booking_admin_calls", "Calls of operators.", ("call", "outcome"), self._calls
        )
        yield CounterMetricFamily(
            "booking_admin_refused_attempts",
            "Requests to the operators' side without the right token.",
            self._access.refused,
        )


class AdminService:
    """Hands out the parts; each raises :class:`RefusedError` if this instance has none."""

    def __init__(self, parts: AdminParts) -> None:
        self._parts = parts
        self.access = Access(parts.token)
        self.counts = AdminCounts(self.access)

    @property
    def operations(self) -> ClusterAdmin:
        """The cluster."""
        return _present(self._parts.operations, "cluster")

    @property
    def queues(self) -> QueueService:
        """The waiting queues."""
        return _present(self._parts.queues, "queue")

    @property
    def catalogue(self) -> CatalogueStore:
        """The stored catalogue."""
        return _present(self._parts.catalogue, "catalogue")

    @property
    def audits(self) -> AuditService:
        """The audits of the journal."""
        return _present(self._parts.audits, "audit")

    @property
    def consumers(self) -> Consumers:
        """The consumers of events."""
        return _present(self._parts.consumers, "consumers")

    @property
    def has_webhooks(self) -> bool:
        """Whether there are any to administer."""
        return self._parts.webhooks is not None

    @property
    def webhooks(self) -> Webhooks:
        """Those who are told of events."""
        if self._parts.webhooks is None:
            raise RefusedError("webhooks_off")
        return self._parts.webhooks

    @asynccontextmanager
    async def noted(self, call: Call, what: str, detail: Mapping[str, Any]) -> AsyncIterator[None]:
        """Write a change into the audit trail before it is made, and a second entry if it is
        refused."""
        trail = self.operations
        await trail.note(call.who, what, detail)
        try:
            yield
        except _REFUSALS as error:
            words = str(error)[:_REFUSED_WORDS_MAX] or type(error).__name__
            await trail.note(call.who, what, {**detail, "refused": words})
            raise


class AdminCalls(Calls):
    """Calls of operators: guarded, documented on their own, counted by their method's name."""

    def __init__(self, admin: AdminService) -> None:
        self.admin = admin

    def routes(self) -> tuple[Route, ...]:
        """The rows behind the guard, with the application's exceptions as refusals."""
        return tuple(self._guarded(row) for row in super().routes())

    def _guarded(self, row: Route) -> Route:
        counts, name = self.admin.counts, row.name
        counts.expect(name)
        return replace(
            row,
            handle=_counted(row.handle, counts, name),
            reader=row.reader and _CountedReader(row.reader, counts, name),
            name=f"admin{name[0].upper()}{name[1:]}",
            tag="admin",
            gate="admin",
            guard=self.admin.access,
        )


class _CountedReader(BodyReader[Any]):
    """Counts the bodies that are refused."""

    def __init__(self, reader: BodyReader[Any], counts: AdminCounts, name: str) -> None:
        self._reader = reader
        self._counts = counts
        self._name = name

    async def read(self, request: web.BaseRequest, timeout_s: float) -> Any:
        try:
            return await self._reader.read(request, timeout_s)
        except RefusedError as error:
            self._counts.count(self._name, error.refusal.row.status)
            raise


def _counted(handle: Handler, counts: AdminCounts, name: str) -> Handler:
    async def answered(call: Call) -> Reply:
        try:
            reply = await handle(call)
        except Exception as error:
            refused = _refusal(error)
            counts.count(name, of_exception(refused).row.status)
            if refused is error:
                raise
            raise refused from error
        counts.count(name, reply.status)
        return reply

    return answered


def _present(part: T | None, what: str) -> T:
    if part is None:
        words = f"This instance has no {what} to administer."
        raise RefusedError("unavailable", words, retry_after(_RETRY_S))
    return part


def _refusal(error: Exception) -> Exception:
    """What the edge answers for an exception of the application."""
    match error:
        case OperationRefusedError():
            return RefusedError(error.code, _sentence(str(error)))
        case JournalError():
            return RefusedError(
                "journal_unavailable",
                "The database is out of reach. Look whether it was done before you repeat it.",
                retry_after(_RETRY_S),
            )
        case UnknownConsumerError():
            return RefusedError("unknown_consumer")
        case UnknownWebhookError():
            return RefusedError("unknown_webhook")
        case WebhookError():
            return RefusedError("webhook_invalid", _sentence(str(error)))
        case AuditRunningError():
            return RefusedError("audit_running")
        case DocumentError():
            count = len(error.problems)
            what = "One thing is" if count == 1 else f"{count} things are"
            return RefusedError(
                "catalogue_invalid",
                f"{what} wrong; nothing was changed.",
                extensions={
                    "errors": [Complaint(p.message, p.line, p.field) for p in error.problems]
                },
            )
        case CatalogueError():
            complaints = [Complaint(reason) for reason in error.reasons]
            return RefusedError("catalogue_conflict", extensions={"errors": complaints})
        case _:
            return error


def _sentence(words: str) -> str:
    # Not capitalised: it may begin with the name of an instance.
    return words if words.endswith(".") else f"{words}."
