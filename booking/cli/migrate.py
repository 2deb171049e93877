"""``booking migrate``: bring the database's tables to the version this release needs."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Sequence

from booking.cli.outcome import DATABASE_ERRORS, DONE, fail, words
from booking.schema import migrate, parts
from booking.settings import Settings


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the grammar of ``booking``."""
    parser = subparsers.add_parser(
        "migrate",
        help="create or update the tables in BOOKING_DATABASE_URL",
        description="Create or update the tables in BOOKING_DATABASE_URL, and in the databases of "
        "BOOKING_JOURNAL_URLS if there are any. Forward only.",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit status 0 when the tables are current."""
    settings = Settings.from_env(os.environ, serving=False)
    try:
        applied, renewed = asyncio.run(_migrate(settings.databases))
    except (*DATABASE_ERRORS, migrate.SchemaMismatch) as error:
        return fail(f"cannot migrate: {words(error)}")
    for number, labels in enumerate(applied):
        where = f"database {number + 1} of {len(applied)}: " if len(applied) > 1 else ""
        print(where + (f"applied {', '.join(labels)}" if labels else "the schema is current"))
    if renewed:
        print("this is a copy of the database that was migrated last: queue tokens have ended")
    return DONE


async def _migrate(dsns: Sequence[str]) -> tuple[list[list[str]], bool]:
    return await parts.prepare(dsns), await parts.restored(dsns, noticed=True)
