"""The private NATS server with JetStream: its command line, and when it is ready."""

from __future__ import annotations

import json
import socket
from typing import Any

from booking.embedded.binaries import find_nats, reachable
from booking.embedded.site import Site

STOP_STAGES = [("SIGTERM", 5.0), ("SIGKILL", 2.0)]
"""Seconds given to each; with every message synced, the first takes milliseconds."""

_HOST = "127.0.0.1"
_ANSWER_MAX_S = 1.0


def url(port: int) -> str:
    """Where clients on this machine reach it."""
    return f"nats://{_HOST}:{port}"


def server_spec(site: Site, port: int) -> dict[str, Any]:
    """Write its configuration; what the guardian needs to run it."""
    binary = reachable("nats", find_nats(), site.account, site.data_dir)
    home = site.data_dir / "nats"
    home.mkdir(mode=0o700, exist_ok=True)
    # What was acknowledged is on disk: the relay does not send it again.
    store = {"store_dir": str(home), "sync_interval": "always"}
    config = home / "nats.conf"
    config.write_text(json.dumps({"host": _HOST, "port": port, "jetstream": store}))
    for path in (config, home):
        site.account.give(path)
    return site.server_spec("nats", [str(binary), "-c", str(config)], STOP_STAGES)


def is_ready(port: int) -> bool:
    """Whether it greets."""
    try:
        with socket.create_connection((_HOST, port), _ANSWER_MAX_S) as client:
            return client.recv(16).startswith(b"INFO")
    except OSError:
        return False
