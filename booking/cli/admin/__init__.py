"""``booking admin``: what operators see and do, through the service's own ``/admin``."""

from booking.cli.admin.grammar import add_parser

__all__ = ["add_parser"]
