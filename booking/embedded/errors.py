"""What can be wrong with the private servers, and what their own words say of it."""

_BAD = ("PANIC:", "FATAL:", "ERROR:", "error:")
"""How PostgreSQL's server and its tools mark what went wrong."""


class EmbeddedServersError(Exception):
    """The private servers cannot start or go on. ``str()`` is one line that says what to do."""


def causes(said: str) -> list[str]:
    """The lines that say what went wrong, else the last one. Of a log, the last counts."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return [line for line in lines if any(word in line for word in _BAD)] or lines[-1:] or [""]
