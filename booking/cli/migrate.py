"""``booking migrate`` and ``booking restore-done``: the tables, and the journal's generation."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Sequence

from booking.cli.outcome import DATABASE_ERRORS, DONE, fail, words
from booking.readmodel import store
from booking.schema import migrate, parts
from booking.settings import Settings


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to the grammar of ``booking``."""
    parser = subparsers.add_parser(
        "migrate",
        help="create or update the tables in BOOKING_DATABASE_URL",
        description="Create or update the tables in BOOKING_DATABASE_URL, and in the databases of "
        "BOOKING_JOURNAL_URLS and BOOKING_READ_URL if there are any. Forward only.",
    )
    parser.set_defaults(run=run)
    parser = subparsers.add_parser(
        "restore-done",
        help="after a restore from a backup: end the queue tokens given out before",
        description="Begin a new generation of the journal, after its databases were restored from "
        "a backup or copied, and before any instance is started: queue tokens given out before are "
        "refused as ended, and instances of the copied deployment stay strangers.",
    )
    parser.set_defaults(run=_restore_done)


def run(args: argparse.Namespace) -> int:
    """Exit status 0 when the tables are current."""
    settings = Settings.from_env(os.environ, serving=False)
    try:
        applied, renewed = asyncio.run(_migrate(settings.databases))
        read = asyncio.run(store.prepare(settings.read_url)) if settings.read_url else None
    except (*DATABASE_ERRORS, migrate.SchemaMismatch) as error:
        return fail(f"cannot migrate: {words(error)}")
    for number, labels in enumerate(applied):
        where = f"database {number + 1} of {len(applied)}: " if len(applied) > 1 else ""
        print(where + (f"applied {', '.join(labels)}" if labels else "the schema is current"))
    if read is not None:
        done = f"applied {', '.join(read)}" if read else "the schema is current"
        print(f"{store.SCHEMA}: {done}")
    if renewed:
        print("this is a copy of the database that was migrated last: queue tokens have ended")
    return DONE


async def _migrate(dsns: Sequence[str]) -> tuple[list[list[str]], bool]:
    return await parts.prepare(dsns), await parts.restored(dsns, noticed=True)


def _restore_done(args: argparse.Namespace) -> int:
    settings = Settings.from_env(os.environ, serving=False)
    try:
        asyncio.run(parts.restored(settings.databases))
    except (*DATABASE_ERRORS, migrate.SchemaMismatch) as error:
        return fail(f"cannot begin a new generation: {words(error)}")
    print("the journal is in a new generation: queue tokens given out before have ended")
    return DONE
