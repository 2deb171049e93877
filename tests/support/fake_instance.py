"""Stands in for `booking serve` under `booking up`: ready at once, and does as its name says.

Run as a script. It answers on its own port and on the shared one with its instance's name; an
instance whose name ends in ``-2`` dies as soon as ``CRASH_FILE`` is there, again and again.
"""

from __future__ import annotations

import os
import signal
import socket
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler
from types import FrameType


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        said = os.environ["BOOKING_INSTANCE"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nobody reads it."""


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True


def main() -> None:
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    # Before it listens: whoever can reach it may have it end.
    signal.signal(signal.SIGTERM, end)
    shared = socket.socket(fileno=int(sys.argv[sys.argv.index("--listen-fd") + 1]))
    own = Server(("127.0.0.1", int(os.environ["BOOKING_PORT"])), Answer)
    common = Server(("127.0.0.1", 0), Answer, bind_and_activate=False)
    common.socket.close()
    common.socket = shared
    for server in (own, common):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    crashing = os.environ["BOOKING_INSTANCE"].endswith("-2")
    while not ended.wait(0.01):
        if crashing and os.path.exists(os.environ["CRASH_FILE"]):
            os._exit(3)


if __name__ == "__main__":
    main()
