"""The operators' side of the edge: ``/admin``."""

from booking_http.admin.cluster import ClusterCalls
from booking_http.admin.concerts import ConcertAdminCalls
from booking_http.admin.consumers import ConsumerAdminCalls
from booking_http.admin.placement import PlacementCalls
from booking_http.admin.queues import QueueAdminCalls
from booking_http.admin.service import AdminParts, AdminService
from booking_http.admin.trail import TrailCalls
from booking_http.admin.webhooks import WebhookCalls
from booking_http.metrics import EdgeMetrics
from booking_http.pages import console_pages
from booking_http.routes import Route

__all__ = ["AdminParts", "admin_routes"]

_CALLS = (
    ClusterCalls,
    PlacementCalls,
    QueueAdminCalls,
    ConcertAdminCalls,
    ConsumerAdminCalls,
    WebhookCalls,
    TrailCalls,
)


def admin_routes(parts: AdminParts, metrics: EdgeMetrics) -> tuple[Route, ...]:
    """The rows of ``/admin``; their counts are added to ``metrics``."""
    admin = AdminService(parts)
    metrics.add(admin.counts)
    rows = (row for calls in _CALLS for row in calls(admin).routes())
    return (*rows, *console_pages())
