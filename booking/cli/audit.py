"""``booking audit``: check the invariants over the journal."""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path

import msgspec

from booking.audit.report import AuditReport, render
from booking.audit.run import PAYMENT_LIMIT_S, AuditError, run
from booking.cli.follow import follow
from booking.cli.outcome import DONE, FAILED, WRONG_USAGE, fail
from booking.queue.audit_run import QueueVerdict, render_queue, run_queue
from booking.settings import Settings


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the grammar of ``booking``."""
    text = "check the invariants over the whole journal; safe while the service runs"
    parser = subparsers.add_parser("audit", help=text, description=text)
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    parser.add_argument(
        "--payment-limit",
        type=_seconds,
        default=PAYMENT_LIMIT_S,
        metavar="SECONDS",
        help="how long a payment may be under way (default: %(default)g)",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--queue", metavar="NAME", help="only this waiting queue, with its rules and draws"
    )
    form.add_argument(
        "--follow", action="store_true", help="go on with new rows as they come, until Ctrl-C"
    )
    form.add_argument(
        "--archive",
        type=Path,
        metavar="DIR",
        help="read archived rows from these files (default: BOOKING_ARCHIVE)",
    )
    parser.set_defaults(run=_audit)


def _audit(args: argparse.Namespace) -> int:
    settings = Settings.from_env(os.environ, serving=False)
    report: AuditReport | QueueVerdict
    try:
        if args.follow:
            return follow(settings, args.payment_limit, as_json=args.json)
        if args.queue is not None:
            report = asyncio.run(run_queue(settings.databases, args.queue))
        else:
            limit_s = args.payment_limit
            archive = args.archive or settings.archive_dir
            report = asyncio.run(run(*settings.databases, payment_limit_s=limit_s, archive=archive))
    except AuditError as error:
        return fail(f"the journal could not be audited: {error}", WRONG_USAGE)
    if args.json:
        print(msgspec.json.format(msgspec.json.encode(report), indent=1).decode())
    else:
        print(render_queue(report) if isinstance(report, QueueVerdict) else render(report))
    return DONE if report.ok else FAILED


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError("has to be between 0 and 86400")
    return seconds
