"""Where in a JSON text a value stands, so that an error can name its line.

msgspec says *what* is wrong and at which path; this walks the text once more, only when something
is wrong, and says on which line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

Path = tuple[str | int, ...]

_TOKEN = re.compile(r'[\[\]{}:,]|"(?:[^"\\]|\\.)*"|[^\s\[\]{}:,"]+')
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


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
    """Every value of a well-formed JSON text: its path, its line (a member's is the line of its
    name), and whether the name had come before in the same object."""
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
