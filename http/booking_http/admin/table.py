"""All calls of the operators' side."""

from __future__ import annotations

from booking_http.admin.cluster import ClusterCalls
from booking_http.admin.concerts import ConcertDeskCalls
from booking_http.admin.console import Console
from booking_http.admin.desk import Desk
from booking_http.admin.parts import AdminParts
from booking_http.admin.placement import InstanceCalls, ShardCalls
from booking_http.admin.queues import QueueDeskCalls
from booking_http.admin.trail import TrailCalls
from booking_http.metrics import EdgeMetrics
from booking_http.routes import Route
from booking_http.settings import EdgeSettings


def admin_routes(
    parts: AdminParts, settings: EdgeSettings, metrics: EdgeMetrics
) -> tuple[Route, ...]:
    """The rows of ``/admin``; their counts are added to ``metrics``."""
    desk = Desk(parts)
    metrics.add(desk.counts)
    timeout_s = settings.body_timeout_s
    return (
        *ClusterCalls(desk, timeout_s).routes(),
        *ShardCalls(desk, timeout_s).routes(),
        *InstanceCalls(desk).routes(),
        *QueueDeskCalls(desk, timeout_s).routes(),
        *ConcertDeskCalls(desk).routes(),
        *TrailCalls(desk).routes(),
        *Console().routes(),
    )
