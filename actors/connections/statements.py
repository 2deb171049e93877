"""Named SQL statements from the ``.sql`` files beside the code that sends them.

A file holds statements, each under a line ``-- name: ...``. Parameters are written ``:name`` and
become the server's ``$1``, ``$2``, ... here, so that statements can be composed from parts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT = re.compile(r"--.*$", re.MULTILINE)
_PARAMETER = re.compile(r"(?<![:\w]):([a-z]\w*)")


class Statement(msgspec.Struct, frozen=True):
    """One statement as the server gets it, and the names of its parameters in order."""

    text: str
    parameters: tuple[str, ...]

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """The values in the order of the parameters; a missing one is a ``KeyError``."""
        return [values[name] for name in self.parameters]


@cache
def texts(package: str, file: str) -> Mapping[str, str]:
    """The statements of a package's file as written, by name and without comments."""
    pieces = _NAME.split(files(package).joinpath(file).read_text("utf-8"))
    names, bodies = pieces[1::2], pieces[2::2]
    assert len(set(names)) == len(names), f"{file} names a statement twice"
    return {name: _COMMENT.sub("", body).strip() for name, body in zip(names, bodies, strict=True)}


def numbered(text: str) -> Statement:
    """Replace each ``:name`` by its number, in order of first use."""
    numbers: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        return f"${numbers.setdefault(match[1], len(numbers) + 1)}"

    return Statement(_PARAMETER.sub(number, text), tuple(numbers))


@cache
def statements(package: str, file: str) -> Mapping[str, Statement]:
    """The statements of a package's file by name, ready to be sent."""
    return {name: numbered(text) for name, text in texts(package, file).items()}
