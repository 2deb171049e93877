"""How a command ends: its exit status, and one line that says what went wrong."""

import sys
from pathlib import Path

import asyncpg

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses. The last is a shell's for a program that Ctrl-C ended."""
DATABASE_ERRORS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""What can be wrong with a database; anything else is a bug and shows where."""


def fail(line: str, status: int = FAILED) -> int:
    """Print what went wrong where people look; returns the status."""
    print(f"booking: {line}", file=sys.stderr)
    return status


def read_file(file: str, size_max: int) -> bytes:
    """A file's first ``size_max`` bytes, or those of standard input for ``-``."""
    if file == "-":
        return sys.stdin.buffer.read(size_max)
    with Path(file).open("rb") as stream:
        return stream.read(size_max)


def words(error: Exception) -> str:
    """What an error says, or at least its kind."""
    return str(error) or type(error).__name__
