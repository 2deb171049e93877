"""The HTTP edge: turns requests into calls of the application's services, and answers back.

In reading order: ``server``, ``connection``, ``dispatch`` (one request), ``routes`` (the table), a
folder for each subject, ``codes`` (each refusal), ``sockets`` (what is pushed), ``openapi``,
``admin``.
"""

from booking_http.admin import AdminParts
from booking_http.metrics import EdgeMetrics
from booking_http.server import EdgeServer, build_admin_server, build_server
from booking_http.settings import EdgeSettings

__all__ = [
    "AdminParts",
    "EdgeMetrics",
    "EdgeServer",
    "EdgeSettings",
    "build_admin_server",
    "build_server",
]
