"""``booking catalog import FILE`` and ``booking catalog export FILE``."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from booking.catalogue import document, store
from booking.catalogue.problems import DocumentError
from booking.catalogue.seats_csv import read_seats
from booking.cli.outcome import DATABASE_ERRORS, DONE, FAILED, WRONG_USAGE, fail, read_file, words
from booking.settings import Settings


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the grammar of ``booking``."""
    parser = subparsers.add_parser(
        "catalog", help="import or export concerts, dates and seats as JSON"
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, run, text in (
        ("import", _import, "import whole concerts from FILE, all or nothing"),
        ("export", _export, "write the whole catalogue to FILE"),
    ):
        sub = verbs.add_parser(verb, help=text, description=text)
        sub.add_argument("file", metavar="FILE", help='a path, or "-" for the standard stream')
        if verb == "import":
            words = "a CSV file with seats of a venue in FILE; may be given for each venue"
            sub.add_argument(
                "--seats", action="append", default=[], type=_pair, metavar="VENUE=CSV", help=words
            )
        sub.set_defaults(run=run)


def _import(args: argparse.Namespace) -> int:
    dsn = Settings.from_env(os.environ, serving=False).database_url
    try:
        # One byte more than allowed, so that parse() sees that it is too long.
        text = read_file(args.file, document.DOCUMENT_BYTES_MAX + 1)
        files = [
            (venue, file, read_file(file, document.DOCUMENT_BYTES_MAX))
            for venue, file in args.seats
        ]
    except OSError as error:
        return fail(f"{error.filename or args.file}: {error.strerror}", WRONG_USAGE)
    try:
        parsed = document.parse(
            text, {venue: read_seats(file, seats) for venue, file, seats in files}
        )
        version = asyncio.run(store.save(dsn, parsed))
    except (DocumentError, store.CatalogueError) as error:
        print(error, file=sys.stderr)  # a line for each thing that is wrong, with its place
        return FAILED
    except DATABASE_ERRORS as error:
        return fail(f"the database could not be used: {words(error)}")
    dates = sum(len(concert.dates) for concert in parsed.concerts)
    print(f"{len(parsed.concerts)} concerts, {dates} dates; catalogue version {version}")
    return DONE


def _pair(text: str) -> tuple[str, str]:
    venue, equals, file = text.partition("=")
    if not (venue and equals and file):
        raise argparse.ArgumentTypeError("the venue's id, = and a file are expected")
    return venue, file


def _export(args: argparse.Namespace) -> int:
    dsn = Settings.from_env(os.environ, serving=False).database_url
    try:
        text = document.encode(asyncio.run(store.export(dsn)))
    except DATABASE_ERRORS as error:
        return fail(f"the database could not be used: {words(error)}")
    try:
        _write(args.file, text)
    except OSError as error:
        return fail(f"{args.file}: {error.strerror}", WRONG_USAGE)
    return DONE


def _write(file: str, text: bytes) -> None:
    if file == "-":
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()
    else:
        Path(file).write_bytes(text)
