"""What the operators' side is put together from. What is left out answers 503."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from actors.cluster.operations import Operations
from booking.api import QueueDesk
from booking.audit.admin import AuditDesk, CatalogueDesk


def _no_queues() -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminParts:
    """Given to :func:`booking_http.build_server`, or to ``build_admin_server`` for a port of its
    own."""

    token: str = field(default="", repr=False)
    """Empty: everybody is answered 403."""
    operations: Operations | None = None
    queue_desk: QueueDesk | None = None
    queue_names: Callable[[], Sequence[str]] = _no_queues
    """Those that there are, for a list of them."""
    catalogue: CatalogueDesk | None = None
    audits: AuditDesk | None = None
