"""Seats of a venue in a CSV file: what is read, and what is said of lines that are wrong."""

from __future__ import annotations

import json

import pytest

from booking.catalogue import document, seats_csv
from booking.catalogue.problems import DocumentError
from booking.catalogue.seats_csv import read_seats
from tests.support.documents import to_catalogue
from tests.unit.catalogue.test_venues import VENUE, at_the_hall

FILE = """\
section,row,label,category,x,y,flags,aisle
Box,1,1,best,0,0,,yes
Box,1,2,best,60,0,accessible;companion,true

"Gallery, left",A,1L,rest,0,500,restricted,
"""
RIGHT = FILE.replace("yes", "1")


def problems(text: str | bytes) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        read_seats("seats.csv", text if isinstance(text, bytes) else text.encode())
    return [str(problem) for problem in caught.value.problems]


def test_listed_seats_become_the_sections_of_a_venue_beside_its_others() -> None:
    text = RIGHT
    venue = VENUE | {"sections": VENUE["sections"][:1]}
    dates = [{"id": "c", "name": "C", "dates": [at_the_hall()]}]
    source = json.dumps({"venues": [venue], "concerts": dates}).encode()
    parsed = document.parse(source, {"hall": read_seats("seats.csv", text.encode("utf-8-sig"))})
    [plan] = [venue.plan for venue in to_catalogue(parsed).venues.values()]
    assert [section.name for section in plan.sections] == ["Stalls", "Box", "Gallery, left"]
    assert plan.seats == 13
    seat = plan.seat(12)
    assert (seat.row, seat.label, seat.flags) == ("1", "2", ("accessible", "companion"))
    assert plan.neighbours(12) == (), "there is an aisle"
    assert plan.find(13)[0].point(0) == (0, 500)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: seats.csv: section: is missing in the first line"),
        ("section,row,label\n", "line 1: seats.csv: category: is missing in the first line"),
        ("section,row,label,category,price\n", "line 1: seats.csv: price: is none of the columns"),
        ("section,row,row,label,category\n", "line 1: seats.csv: row: is none of the columns"),
        (FILE, "line 2: seats.csv: aisle: Expected `bool`"),
        (FILE.replace("accessible", "soft"), "line 3: seats.csv: flags[0]: Invalid enum value"),
        (FILE.replace("60", "6.5"), "line 3: seats.csv: x: Expected `int"),
        (FILE.replace("60,0,", "60,"), "line 3: seats.csv: document: has 7 cells, and 8 columns"),
        (FILE.replace("A,1L", ",1L"), "line 5: seats.csv: row: Object missing required field"),
        (RIGHT.replace("Box,1,2", "Box,1,1"), "line 3: seats.csv: label: row '1' has it in line 2"),
        (FILE.replace('left"', "left"), "line 5: seats.csv: document: unexpected end of data"),
        (FILE.encode().replace(b"1L", b"\xff"), "line 5: seats.csv: document: is not UTF-8"),
    ],
)
def test_what_is_wrong_names_line_and_column(text: str | bytes, words: str) -> None:
    found = problems(text)
    assert any(each.startswith(words) for each in found), found


def test_a_file_that_is_too_long_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seats_csv, "SEATS_MAX", 2)
    assert problems(RIGHT) == ["line 4: seats.csv: document: lists over 2 seats"]


def test_seats_of_a_venue_that_is_not_in_the_document_are_refused() -> None:
    seats = read_seats("seats.csv", RIGHT.encode())
    with pytest.raises(DocumentError, match="venues: 'barn' is not one of them"):
        document.parse(b'{"concerts": []}', {"barn": seats})
