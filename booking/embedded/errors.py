"""What can be wrong with the embedded servers, told to a person in one line."""

from __future__ import annotations


class EmbeddedServersError(Exception):
    """The private servers cannot start or go on. ``str()`` is one line that says what to do."""
