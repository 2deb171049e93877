"""The operators' side of the edge: ``/admin``."""

from booking_http.admin.parts import AdminParts
from booking_http.admin.table import admin_routes

__all__ = ["AdminParts", "admin_routes"]
