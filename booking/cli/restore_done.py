"""``booking restore-done``: end what was given out before the database was restored."""

from __future__ import annotations

import argparse
import asyncio
import os

from booking.cli.outcome import DATABASE_ERRORS, DONE, fail, words
from booking.schema import migrate, parts
from booking.settings import Settings


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the grammar of ``booking``."""
    parser = subparsers.add_parser(
        "restore-done",
        help="after a restore from a backup: end the queue tokens given out before",
        description="Begin a new generation of the journal, after its databases were restored from "
        "a backup or copied, and before any instance is started: queue tokens given out before are "
        "refused as ended, and instances of the copied deployment stay strangers.",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit status 0 when the journal is in a new generation."""
    settings = Settings.from_env(os.environ, serving=False)
    try:
        asyncio.run(parts.restored(settings.databases))
    except (*DATABASE_ERRORS, migrate.SchemaMismatch) as error:
        return fail(f"cannot begin a new generation: {words(error)}")
    print("the journal is in a new generation: queue tokens given out before have ended")
    return DONE
