"""Seats of a venue listed in a CSV file, as they come out of a house's own program."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from booking.catalogue.problems import PROBLEMS_MAX, DocumentError, Problem, read_error, spell
from booking.catalogue.venue import SEATS_MAX, Name, PlaceEntry, SectionEntry

_NEEDED = ("section", "row", "label", "category")
_COLUMNS = (*_NEEDED, "number", "x", "y", "flags", "aisle")


class _Line(PlaceEntry, frozen=True, kw_only=True):
    section: Name


def read_seats(file: str, text: bytes) -> tuple[SectionEntry, ...]:
    """The sections in the file, in its order; :class:`DocumentError` with the line and the column
    of what is wrong. Whether the seats fit the venue is told where they are put into it."""
    found = list(_lines(text))
    problems = [
        Problem(each.line, f"{file}: {each.field}", each.message)
        for each in found
        if isinstance(each, Problem)
    ]
    if problems:
        raise DocumentError(problems[:PROBLEMS_MAX])
    sections: dict[str, list[PlaceEntry]] = {}
    for seat in found:
        assert isinstance(seat, _Line)
        facts = msgspec.structs.asdict(seat)
        sections.setdefault(facts.pop("section"), []).append(PlaceEntry(**facts))
    return tuple(SectionEntry(name, seats=tuple(seats)) for name, seats in sections.items())


def _lines(text: bytes) -> Iterator[_Line | Problem]:
    lines = csv.reader(text.decode("utf-8-sig", "replace").splitlines(), strict=True)
    try:
        yield from _seats(lines)
    except csv.Error as error:
        yield Problem(lines.line_num, "document", str(error))


def _seats(lines: Any) -> Iterator[_Line | Problem]:
    columns = [name.strip().lower() for name in next(lines, [])]
    for name in _NEEDED:
        if name not in columns:
            yield Problem(1, name, "is missing in the first line, which names the columns")
    for name in columns:
        if name not in _COLUMNS or columns.count(name) > 1:
            yield Problem(1, name, f"is none of the columns {', '.join(_COLUMNS)}, each once")
    if not {*_NEEDED} <= {*columns} <= {*_COLUMNS}:
        return
    labels: dict[tuple[str, ...], int] = {}
    for cells in lines:
        if lines.line_num > SEATS_MAX + 1:
            yield Problem(lines.line_num, "document", f"lists over {SEATS_MAX} seats")
            return
        if cells:
            yield _seat(lines.line_num, columns, cells, labels)


def _seat(
    line: int, columns: Sequence[str], cells: Sequence[str], labels: dict[tuple[str, ...], int]
) -> _Line | Problem:
    if len(cells) != len(columns):
        return Problem(line, "document", f"has {len(cells)} cells, and {len(columns)} columns")
    pairs = zip(columns, map(str.strip, cells), strict=True)
    named: dict[str, Any] = {name: cell for name, cell in pairs if cell}
    named["flags"] = named.get("flags", "").replace(";", " ").split()
    if "\ufffd" in "".join(cells):
        return Problem(line, "document", "is not UTF-8")
    try:
        seat = msgspec.convert(named, _Line, strict=False)
    except msgspec.ValidationError as error:
        path, message = read_error(error)
        return Problem(line, spell(path), message)
    first = labels.setdefault((seat.section, seat.row, seat.label), line)
    if first != line:
        return Problem(line, "label", f"row {seat.row!r} has it in line {first} already")
    return seat
