"""``booking ledger``: where the money went, as CSV."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from booking.accounts.statement import TransferStatement
from booking.audit.run import AuditError, concerts_of, read_rows
from booking.cli.outcome import DONE, FAILED, fail
from booking.settings import Settings


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the grammar of ``booking``."""
    text = "all movements of money as CSV on standard output; safe while the service runs"
    parser = subparsers.add_parser("ledger", help=text, description=text)
    parser.add_argument(
        "--totals", action="store_true", help="only sums by day (UTC), concert and accounts"
    )
    parser.add_argument(
        "--archive",
        type=Path,
        metavar="DIR",
        help="read archived rows from these files (default: BOOKING_ARCHIVE)",
    )
    parser.set_defaults(run=_ledger)


def _ledger(args: argparse.Namespace) -> int:
    settings = Settings.from_env(os.environ, serving=False)
    try:
        statement = asyncio.run(_write(settings, args))
        sys.stdout.flush()
    except AuditError as error:
        return fail(f"the journal could not be read: {error}")
    except BrokenPipeError:
        # Whoever reads it has seen enough; nothing is to be written when Python ends either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    unread = [v for verdict in statement.found.verdicts() for v in verdict.named]
    for violation in unread:
        fail(str(violation))
    return FAILED if unread else DONE


async def _write(settings: Settings, args: argparse.Namespace) -> TransferStatement:
    archive = args.archive or settings.archive_dir
    concerts = await concerts_of(settings.database_url)
    statement = TransferStatement(sys.stdout, concerts, totals=args.totals)
    await read_rows(*settings.databases, reader=statement, archive=archive)
    statement.close()
    return statement
