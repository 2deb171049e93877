"""The private Valkey (or Redis): its command line, and when it is ready.

It holds only hints - who should own which shard - that are rebuilt when it comes back empty, so it
keeps nothing on disk: no append-only file, no snapshots.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from booking.embedded.account import Account
from booking.embedded.postgres import CLEAN_ENVIRONMENT

STOP_STAGES = [("SIGTERM", 5.0), ("SIGKILL", 2.0)]
"""Seconds given to each; without anything to save, the first takes milliseconds."""

_PING_TIMEOUT_S = 1.0


def socket_path(sockets: Path) -> Path:
    return sockets / "valkey.sock"


def server_spec(binary: Path, sockets: Path, log: Path, account: Account) -> dict[str, Any]:
    """What the guardian needs to run the server."""
    argv = [str(binary), "--port", "0", "--unixsocket", str(socket_path(sockets))]
    argv += ["--unixsocketperm", "700", "--dir", str(sockets), "--daemonize", "no"]
    argv += ["--save", "", "--appendonly", "no", "--loglevel", "warning"]
    # Hints are kilobytes; an accident must not take the machine's memory.
    argv += ["--maxmemory", "128mb", "--maxmemory-policy", "noeviction"]
    return {
        "name": "valkey",
        "argv": argv,
        "env": CLEAN_ENVIRONMENT,
        "log": str(log),
        "identity": account.identity,
        "stages": STOP_STAGES,
    }


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
