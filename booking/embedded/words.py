"""What a server's own words say of why it does not work."""

from __future__ import annotations

_BAD = ("PANIC:", "FATAL:", "ERROR:", "error:")
"""How PostgreSQL's server and its tools mark what went wrong. What they say after it is of how they
tidy up: "removing data directory", "database system is shut down"."""


def first_cause(said: str) -> str:
    """Of one run: the first line that says what went wrong, else the last line; or empty."""
    return _marked(said)[0]


def last_cause(said: str) -> str:
    """Of a log that has earlier runs too: the last such line."""
    return _marked(said)[-1]


def _marked(said: str) -> list[str]:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return [line for line in lines if any(word in line for word in _BAD)] or lines[-1:] or [""]
