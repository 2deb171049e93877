"""How a command ends: its exit status, and one line that says what went wrong."""

from __future__ import annotations

import sys

import asyncpg

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses. The last is a shell's for a program that Ctrl-C ended."""
DATABASE_ERRORS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""What can be wrong with a database; anything else is a bug and shows where."""


def fail(line: str, status: int = FAILED) -> int:
    """Print what went wrong where people look; returns the status."""
    print(f"booking: {line}", file=sys.stderr)
    return status


def words(error: Exception) -> str:
    """What an error says, or at least its kind."""
    return str(error) or type(error).__name__
