"""What is wrong with a document, each with its line and field.

msgspec says *what* is wrong and at which path; :func:`walk` says on which line.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec

Path = tuple[str | int, ...]

PROBLEMS_MAX = 50
"""More than a screen of errors helps nobody."""

_AT = re.compile(r"^(?P<message>.*?)(?: - at `(?P<path>\$[^`]*)`)?$", re.DOTALL)
_FIELD = re.compile(r"field `([^`]+)`$")
_BYTE = re.compile(r"\(byte (\d+)\)")
_TOKEN = re.compile(r'[\[\]{}:,]|"(?:[^"\\]|\\.)*"|[^\s\[\]{}:,"]+')
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


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


def check_text(
    text: bytes,
    document: type,
    levels: Sequence[tuple[str, type]],
    rules: Callable[[], Iterator[tuple[Path, str]]],
) -> None:
    """Raise :class:`DocumentError` with what is wrong with a JSON text, in order of its lines.

    ``levels`` names the lists inside each other and the type of their items, each of which is tried
    by itself. ``rules`` runs only on a document of the right shape.
    """
    try:
        loose = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DocumentError([_unreadable(text, error)]) from None
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
    if problems:
        raise DocumentError(sorted(problems, key=lambda problem: problem.line)[:PROBLEMS_MAX])


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
        path, message = read_error(error)
    else:
        return
    inner = levels[0][0] if levels else None
    if inner is None or len(path) < 2 or path[0] != inner:
        yield (*at, *path), message
        if inner is None or not isinstance(value, dict) or not isinstance(value.get(inner), list):
            return
    for index, item in enumerate(value[inner]):
        yield from _shape(item, levels[0][1], levels[1:], (*at, inner, index))


def read_error(error: msgspec.ValidationError) -> tuple[Path, str]:
    """Where a value is that has the wrong type, and what is wrong with it."""
    match = _AT.match(str(error))
    assert match is not None
    message, path = match["message"], parse_path(match["path"] or "$")
    field = _FIELD.search(message)
    return ((*path, field.group(1)) if field else path), message


def _problem(text: str, path: Path, message: str) -> Problem:
    return Problem(line_of(text, path), spell(path), message)


# -- where in a JSON text a value stands -----------------------------------------------------------


def parse_path(text: str) -> Path:
    """``$.concerts[0].id`` (as msgspec spells it) as steps."""
    return tuple(name or int(index) for name, index in _STEP.findall(text) if index != "...")


def spell(path: Path) -> str:
    """Steps as people write them: ``concerts[0].id``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".") or "document"


def line_at(text: bytes, offset: int) -> int:
    """The line, from 1, of a byte."""
    return text.count(b"\n", 0, offset) + 1


def walk(text: str) -> Iterator[tuple[Path, int, bool]]:
    """Every value of a well-formed JSON text: path, line, and whether its name is repeated."""
    path: list[str | int] = []
    names: list[set[str] | None] = []  # for each open container: names so far, or None in a list
    line, seen_to, wants_name = 1, 0, False
    for match in _TOKEN.finditer(text):
        line += text.count("\n", seen_to, match.start())
        seen_to = match.start()
        mark = match.group()
        if mark in "]}":
            names.pop()
            path.pop()
            wants_name = False
        elif mark == ",":
            names_here = names[-1]
            wants_name = names_here is not None
            if names_here is None:
                path[-1] = int(path[-1]) + 1
        elif mark == ":":
            continue
        elif wants_name:
            wants_name = False
            name, seen = _unescape(mark), names[-1]
            assert seen is not None
            path[-1] = name
            yield tuple(path), line, name in seen
            seen.add(name)
        else:
            if not names or names[-1] is None:
                yield tuple(path), line, False
            if mark == "{":
                names.append(set())
                path.append("")
                wants_name = True
            elif mark == "[":
                names.append(None)
                path.append(0)


def line_of(text: str, wanted: Path) -> int:
    """The line of a value; of the closest one around it if the text has none at this path."""
    best, best_steps = 1, -1
    for path, line, _ in walk(text):
        steps = len(path)
        if steps > best_steps and path == wanted[:steps]:
            best, best_steps = line, steps
            if steps == len(wanted):
                break
    return best


def repeated_names(text: str) -> Iterator[tuple[Path, int]]:
    """Members whose name stands twice in one object. JSON readers take either; so none is right."""
    return ((path, line) for path, line, again in walk(text) if again)


def _unescape(mark: str) -> str:
    if "\\" not in mark:
        return mark[1:-1]
    return msgspec.json.decode(mark, type=str)
