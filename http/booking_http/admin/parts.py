"""What the operators' side is put together from. What is left out answers 503."""

from __future__ import annotations

from dataclasses import dataclass, field

from actors.cluster.operations import Operations
from booking.audit.admin import AuditDesk, CatalogueDesk
from booking.queue.service import QueueService


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminParts:
    """Given to :func:`booking_http.build_server`, or to ``build_admin_server`` for a port of its
    own."""

    token: str = field(default="", repr=False)
    """Empty: everybody is answered 403."""
    operations: Operations | None = None
    queues: QueueService | None = None
    catalogue: CatalogueDesk | None = None
    audits: AuditDesk | None = None
