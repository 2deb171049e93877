"""``booking serve``: one instance against the servers that the environment names."""

from __future__ import annotations

import argparse
import os
import socket

from booking.cli.stopping import EXIT_WITH_STDIN
from booking.observability import logs
from booking.settings import Settings, SettingsError

LISTEN_FD = "--listen-fd"
"""Used by `booking up`: one port for several instances."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the grammar of ``booking``."""
    parser = subparsers.add_parser(
        "serve",
        help="run one instance (needs BOOKING_DATABASE_URL, _REDIS_URL and _TOKEN_SECRET)",
        description="Run one instance against the servers in the environment until SIGTERM.",
    )
    parser.add_argument(
        EXIT_WITH_STDIN,
        action="store_true",
        help="end at once when standard input ends, as it does when the parent process dies",
    )
    parser.add_argument(
        LISTEN_FD,
        type=int,
        metavar="FD",
        help="also accept connections from this inherited socket, which listens already",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit status 0 after a drain, 1 after a failure."""
    settings = Settings.from_env(os.environ)
    shared = None if args.listen_fd is None else inherited(args.listen_fd)
    # Here, because the whole service is behind these imports and no other command needs it.
    from booking.cli.serving import run_instance
    from booking.observability import tracing

    tracing.check_installed(settings)
    logs.configure(settings.log, settings.secrets, traced=settings.tracing != "off")

    return run_instance(settings, exit_with_stdin=args.exit_with_stdin, shared=shared)


def inherited(fd: int) -> socket.socket:
    """The listening socket that our parent opened; :class:`SettingsError` if it is none."""
    try:
        shared = socket.socket(fileno=fd)
        listening = shared.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise SettingsError(f"{LISTEN_FD} {fd} is not a socket: {error.strerror}") from error
    if not listening:
        raise SettingsError(f"{LISTEN_FD} {fd} is a socket that does not listen")
    shared.setblocking(False)
    return shared
