"""The HTTP edge: turns requests into calls of the application's services, and answers back.

It knows HTTP and nothing of actors. In reading order: ``server`` (start and stop), ``connection``
(limits of a connection), ``dispatch`` (one request), ``routes`` (the table), a folder for each
subject with its calls and schemas (``queue``, ``seats``, ``accounts``, ``catalogue``, ``system``),
``codes`` (each refusal), ``sockets`` (what is pushed), ``openapi`` (the document, made from the
same table), ``admin`` (the operators' side).
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
