"""What all calls of operators have in common: the parts they need, refusals, counts, the trail."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from actors.cluster.operations import OperationRefusedError, Operations
from actors.journal.contract import JournalError
from booking.audit.admin import AuditDesk, AuditRunningError, CatalogueDesk
from booking.catalogue.problems import DocumentError
from booking.catalogue.store import CatalogueError
from booking.queue.service import QueueService
from booking_http.admin.access import Access
from booking_http.admin.counts import AdminCounts
from booking_http.admin.parts import AdminParts
from booking_http.problems import RefusedError, of_exception, retry_after
from booking_http.reply import Reply
from booking_http.routes import Call, Handler
from booking_http.schemas import Complaint

_RETRY_S = 1.0
_REFUSALS = (DocumentError, CatalogueError, AuditRunningError, ValueError)
"""Of the application, for what is written down here: nothing was done."""
_REFUSED_WORDS_MAX = 300
"""Characters kept of a refusal; a document can have fifty problems."""


class Desk:
    """Hands out the parts, or refuses because one is not there."""

    def __init__(self, parts: AdminParts) -> None:
        self._parts = parts
        self.access = Access(parts.token)
        self.counts = AdminCounts(self.access)

    @property
    def operations(self) -> Operations:
        if self._parts.operations is None:
            raise _absent("cluster")
        return self._parts.operations

    @property
    def queues(self) -> QueueService:
        if self._parts.queues is None:
            raise _absent("queue")
        return self._parts.queues

    @property
    def catalogue(self) -> CatalogueDesk:
        if self._parts.catalogue is None:
            raise _absent("catalogue")
        return self._parts.catalogue

    @property
    def audits(self) -> AuditDesk:
        if self._parts.audits is None:
            raise _absent("audit")
        return self._parts.audits

    @asynccontextmanager
    async def noted(self, call: Call, what: str, detail: Mapping[str, Any]) -> AsyncIterator[None]:
        """Write a change down before it is made: one that was made and not written down would be
        worse than one that was written down and did not come about. If it is refused, another line
        says so."""
        trail = self.operations
        await trail.note(call.who, what, detail)
        try:
            yield
        except _REFUSALS as error:
            words = str(error)[:_REFUSED_WORDS_MAX] or type(error).__name__
            await trail.note(call.who, what, {**detail, "refused": words})
            raise

    def handler(self, name: str, handle: Handler) -> Handler:
        """The same call, counted, with the application's exceptions as refusals."""
        self.counts.expect(name)

        async def counted(call: Call) -> Reply:
            try:
                reply = await handle(call)
            except Exception as error:
                refused = _refusal(error)
                self.counts.count(name, of_exception(refused).row.status)
                if refused is error:
                    raise
                raise refused from error
            self.counts.count(name, reply.status)
            return reply

        return counted


def _absent(what: str) -> RefusedError:
    return RefusedError(
        "unavailable", f"This instance has no {what} to administer.", retry_after(_RETRY_S)
    )


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
        case AuditRunningError():
            return RefusedError("audit_running")
        case DocumentError():
            return RefusedError(
                "catalogue_invalid",
                f"{_problems(len(error.problems))} wrong; nothing was changed.",
                extensions={
                    "errors": [Complaint(p.message, p.line, p.field) for p in error.problems]
                },
            )
        case CatalogueError():
            complaints = [Complaint(reason) for reason in error.reasons]
            return RefusedError("catalogue_conflict", extensions={"errors": complaints})
        case _:
            return error


def _problems(count: int) -> str:
    return "One thing is" if count == 1 else f"{count} things are"


def _sentence(words: str) -> str:
    # Not capitalised: it may begin with the name of an instance.
    return words if words.endswith(".") else f"{words}."
