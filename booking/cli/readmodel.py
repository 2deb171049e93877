"""``booking readmodel rebuild``: the tables of ``booking_read`` anew, from the first event."""

from __future__ import annotations

import argparse
import asyncio
import os
import time

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from actors.journal.contract import JournalError
from actors.journal.partitioned import journal_over
from booking.cli.outcome import DATABASE_ERRORS, DONE, fail, words
from booking.readmodel.rebuild import WORKERS, rebuild
from booking.schema.migrate import SchemaMismatch
from booking.settings import Settings, SettingsError


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the grammar of ``booking``."""
    text = "the tables in the schema booking_read of BOOKING_READ_URL"
    parser = subparsers.add_parser("readmodel", help=text, description=text)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    parser = commands.add_parser(
        "rebuild",
        help="build them anew beside the present ones, then swap",
        description="Build the tables anew from the first event in the journal, beside the present "
        "ones, and have them take their place. Instances may run. After Ctrl-C or a failure, run "
        "it again: it goes on where it was.",
    )
    parser.set_defaults(run=_rebuild)


def _rebuild(args: argparse.Namespace) -> int:
    settings = Settings.from_env(os.environ, serving=False)
    if not settings.read_url:
        raise SettingsError("BOOKING_READ_URL is missing: it names the database of the tables")
    began = time.monotonic()
    try:
        done = asyncio.run(_show(settings))
    except (*DATABASE_ERRORS, JournalError, SchemaMismatch) as error:
        return fail(f"the tables could not be rebuilt: {words(error)}")
    seconds = time.monotonic() - began
    print(f"rebuilt from {done:,} events in {seconds:.1f} s ({done / seconds:,.0f}/s)")
    return DONE


async def _show(settings: Settings) -> int:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    journal = journal_over(settings.databases, lanes_each=0, pool_size=WORKERS)
    with Progress(*columns, TimeRemainingColumn()) as bar:
        task = bar.add_task("reading events", total=None)

        def progress(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total or None)

        try:
            return await rebuild(settings.read_url, settings.database_url, journal, progress)
        finally:
            await journal.close()
