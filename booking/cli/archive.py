"""``booking archive``: segments of the journal that nobody needs any more, as files, and back."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from actors.behaviour import Behaviour
from actors.connections.postgres import texts
from actors.journal.contract import JournalError
from actors.journal.partitioned import journal_over
from booking.accounts.entity import AccountBehaviour
from booking.archive.files import ArchiveError
from booking.archive.load import load_back
from booking.archive.run import Archiver, Offsets
from booking.catalogue import store
from booking.catalogue.domain import Catalogue
from booking.cli.outcome import DATABASE_ERRORS, DONE, FAILED, WRONG_USAGE, fail, words
from booking.events import places
from booking.instance.consumers import followers_of
from booking.schema import parts
from booking.schema.migrate import SchemaMismatch, connection_to
from booking.seats.entity import HoldRules, SeatBehaviour
from booking.settings import Settings
from booking.webhooks.sending import NAME as WEBHOOKS

_SQL = texts("booking.archive", "statements.sql")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the grammar of ``booking``."""
    parser = subparsers.add_parser(
        "archive",
        help="move old segments of the journal into files",
        description="Write segments of the journal whose rows were all committed before a time to "
        "files, read them back, and drop them from the database. What consumers of events still "
        "need stays, and is named. Instances may run. After Ctrl-C or a failure, run it again.",
    )
    parser.add_argument("--before", type=_time, metavar="DATE", help="as 2026-11-30, in UTC")
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--to", type=Path, metavar="DIR", help="for the files")
    form.add_argument(
        "--load", type=Path, metavar="DIR", help="put all archived segments back from their files"
    )
    parser.add_argument(
        "--close", action="store_true", help="begin another segment first, whatever its age"
    )
    parser.set_defaults(run=_archive)


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no date such as 2026-11-30") from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _archive(args: argparse.Namespace) -> int:
    settings = Settings.from_env(os.environ, serving=False)
    if (args.before is None) == (args.to is not None):
        return fail("--to needs --before, and --load has none", WRONG_USAGE)
    try:
        if args.load is not None:
            asyncio.run(_load(settings, args.load))
            return DONE
        args.to.mkdir(parents=True, exist_ok=True)
        whole = asyncio.run(_run(settings, args.before, args.to, close=args.close))
    except (*DATABASE_ERRORS, JournalError, SchemaMismatch, ArchiveError) as error:
        return fail(f"{'not archived' if args.to else 'not loaded'}: {words(error)}")
    return DONE if whole else FAILED


async def _load(settings: Settings, directory: Path) -> None:
    identity = await parts.check(settings.databases)
    for number, dsn in enumerate(settings.databases):
        await load_back(dsn, str(identity.journal), number, directory, partial(print, flush=True))


async def _run(settings: Settings, before: datetime, directory: Path, *, close: bool) -> bool:
    databases = settings.databases
    identity = await parts.check(databases)
    behaviours = behaviours_of(settings, await store.load(settings.database_url))
    offsets = await _offsets(settings)
    whole = True
    for number, dsn in enumerate(databases):
        journal = journal_over([dsn], lanes_each=0, pool_size=1)
        archiver = Archiver(
            dsn=dsn,
            part=number,
            parts=len(databases),
            journal_name=str(identity.journal),
            journal=journal,
            behaviours=behaviours,
            offsets=offsets,
            directory=directory,
            tell=partial(print, flush=True),
        )
        try:
            whole &= await archiver.run(before, close=close)
        finally:
            await journal.close()
    await _forget_places(databases)
    return whole


async def _forget_places(databases: Sequence[str]) -> None:
    """Places in queues that were left before what is archived tell nobody anything any more."""
    ends: dict[int, int] = {}
    for dsn in databases:
        async with connection_to(dsn) as connection:
            ends |= {row["shard"]: row["seq"] for row in await connection.fetch(_SQL["kept_ends"])}
    async with connection_to(databases[0]) as connection:
        if gone := await places.forget(connection, ends):
            print(f"{gone:,} places in queues that were left by then are forgotten")


def behaviours_of(settings: Settings, catalogue: Catalogue) -> dict[str, Behaviour]:
    """The entities of which there are many, to work out states from events."""
    rules = HoldRules(settings.hold_s * 1000, settings.holds_max, settings.rehold_ms)
    every: list[Behaviour] = [AccountBehaviour(), SeatBehaviour(lambda: catalogue, rules)]
    return {behaviour.kind: behaviour for behaviour in every}


async def _offsets(settings: Settings) -> Offsets:
    """Those of the consumers that the settings name, also of one that has never run, and of all
    that the journal's database has."""
    followers = followers_of(settings)
    named = {consumer.name: offsets for consumer, offsets in followers.consumers}
    named |= followers.elsewhere
    found: dict[str, dict[int, int]] = {WEBHOOKS: {}} if settings.webhooks else {}
    async with connection_to(settings.database_url) as connection:
        for row in await connection.fetch(_SQL["offsets"]):
            found.setdefault(row["consumer"], {})[row["shard"]] = row["seq"]
    for name, offsets in named.items():
        try:
            found[name] = {one.shard: one.seq for one in await offsets.all()}
        finally:
            await offsets.close()
    return found
