"""What can be wrong with the private servers, and what their own words say of it."""

from __future__ import annotations

_BAD = ("PANIC:", "FATAL:", "ERROR:", "error:")
"""How PostgreSQL's server and its tools mark what went wrong. What they say after it is of how they
tidy up: "removing data directory", "database system is shut down"."""


class EmbeddedServersError(Exception):
    """The private servers cannot start or go on. ``str()`` is one line that says what to do."""


def first_cause(said: str) -> str:
    """The first line of one run that says what went wrong, else its last line, or nothing."""
    return _marked(said)[0]


def last_cause(said: str) -> str:
    """The last such line of a log, which has earlier runs too."""
    return _marked(said)[-1]


def _marked(said: str) -> list[str]:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return [line for line in lines if any(word in line for word in _BAD)] or lines[-1:] or [""]
