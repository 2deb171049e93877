"""What is wrong with a document, each with its line and field."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec

from booking.catalogue.lines import Path, line_at, line_of, parse_path, repeated_names, spell

PROBLEMS_MAX = 50
"""More than a screen of errors helps nobody."""

_AT = re.compile(r"^(?P<message>.*?)(?: - at `(?P<path>\$[^`]*)`)?$", re.DOTALL)
_FIELD = re.compile(r"field `([^`]+)`$")
_BYTE = re.compile(r"\(byte (\d+)\)")


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong with a document, and where."""

    line: int
    field: str
    """Path of the field, such as ``concerts[0].dates[1].price``."""
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.field}: {self.message}"


class DocumentError(Exception):
    """The document is not a valid one. Nothing was done."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = list(problems)


def first_problems(
    text: bytes,
    document: type,
    levels: Sequence[tuple[str, type]],
    rules: Callable[[], Iterator[tuple[Path, str]]],
) -> list[Problem]:
    """What is wrong with a JSON text, in order of its lines; nothing if it is good.

    ``levels`` names the lists inside each other and the type of their items: each item is tried
    by itself, so that one error does not hide those of its siblings. ``rules`` runs only on a
    document of the right shape.
    """
    try:
        loose = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return [_unreadable(text, error)]
    spelled = text.decode()
    found: Iterable[tuple[Path, str]] = _shape(loose, document, levels, ())
    problems = [_problem(spelled, path, message) for path, message in islice(found, PROBLEMS_MAX)]
    problems += [
        Problem(line, spell(path), "is written twice")
        for path, line in islice(repeated_names(spelled), PROBLEMS_MAX)
    ]
    if not problems:
        problems = [
            _problem(spelled, path, message) for path, message in islice(rules(), PROBLEMS_MAX)
        ]
    return sorted(problems, key=lambda problem: problem.line)[:PROBLEMS_MAX]


def _unreadable(text: bytes, error: Exception) -> Problem:
    if isinstance(error, RecursionError):
        return Problem(1, "document", "is nested too deeply")
    if isinstance(error, UnicodeDecodeError):
        return Problem(_line_of_bad_utf8(text), "document", "is not UTF-8")
    byte = _BYTE.search(str(error))
    offset = int(byte.group(1)) if byte else len(text.rstrip())
    return Problem(line_at(text, offset), "document", str(error))


def _line_of_bad_utf8(text: bytes) -> int:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return line_at(text, error.start)
    return 1


def _shape(
    value: Any, wanted: type, levels: Sequence[tuple[str, type]], at: Path
) -> Iterator[tuple[Path, str]]:
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        path, message = _read(error)
    else:
        return
    inner = levels[0][0] if levels else None
    if inner is None or len(path) < 2 or path[0] != inner:
        yield (*at, *path), message
        if inner is None or not isinstance(value, dict) or not isinstance(value.get(inner), list):
            return
    for index, item in enumerate(value[inner]):
        yield from _shape(item, levels[0][1], levels[1:], (*at, inner, index))


def _read(error: msgspec.ValidationError) -> tuple[Path, str]:
    match = _AT.match(str(error))
    assert match is not None
    message, path = match["message"], parse_path(match["path"] or "$")
    field = _FIELD.search(message)
    return ((*path, field.group(1)) if field else path), message


def _problem(text: str, path: Path, message: str) -> Problem:
    return Problem(line_of(text, path), spell(path), message)
