"""The private Valkey (or Redis): its command line, and when it is ready. It keeps nothing on
disk."""

import socket
from pathlib import Path
from typing import Any

from booking.embedded.binaries import find_valkey, reachable
from booking.embedded.site import Site

STOP_STAGES = [("SIGTERM", 5.0), ("SIGKILL", 2.0)]
"""Seconds given to each; without anything to save, the first takes milliseconds."""

_PING_TIMEOUT_S = 1.0


def socket_path(sockets: Path) -> Path:
    """The socket that it listens on in the sockets' directory."""
    return sockets / "valkey.sock"


def server_spec(site: Site) -> dict[str, Any]:
    """What the guardian needs to run the server; there is nothing to prepare."""
    binary = reachable("valkey", find_valkey(), site.account, site.data_dir)
    argv = [str(binary), "--port", "0", "--unixsocket", str(socket_path(site.sockets))]
    argv += ["--unixsocketperm", "700", "--dir", str(site.sockets), "--daemonize", "no"]
    argv += ["--save", "", "--appendonly", "no", "--loglevel", "warning"]
    # Hints are kilobytes; an accident must not take the machine's memory.
    argv += ["--maxmemory", "128mb", "--maxmemory-policy", "noeviction"]
    return site.server_spec("valkey", argv, STOP_STAGES)


def is_ready(sockets: Path) -> bool:
    """Whether it answers PING."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_PING_TIMEOUT_S)
        try:
            client.connect(str(socket_path(sockets)))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False
