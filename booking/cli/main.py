"""``booking``: the command line's entry point."""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from booking.cli import (
    admin,
    archive,
    audit,
    catalog,
    crowd,
    ledger,
    migrate,
    readmodel,
    relay,
    serve,
    up,
)
from booking.cli.outcome import INTERRUPTED, WRONG_USAGE, fail
from booking.embedded import EmbeddedServersError
from booking.settings import SettingsError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status: 0 done, 1 failed, 2 wrong usage or settings."""
    args = build_parser().parse_args(argv)
    try:
        return int(args.run(args))
    except SettingsError as error:
        return fail(str(error), WRONG_USAGE)
    except EmbeddedServersError as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED


def build_parser() -> argparse.ArgumentParser:
    """The whole grammar. argparse itself ends the process with status 2 on wrong usage."""
    parser = argparse.ArgumentParser(
        prog="booking", description="Concert seat booking: a fair queue, holds, one writer a seat."
    )
    parser.add_argument("--version", action="version", version=f"booking {_version()}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (
        up,
        serve,
        relay,
        migrate,
        catalog,
        audit,
        ledger,
        archive,
        readmodel,
        admin,
        crowd,
    ):
        command.add_parser(subparsers)
    return parser


def _version() -> str:
    try:
        return version("booking")
    except PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
