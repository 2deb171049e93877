"""Rows of the route table: what a decorated method declares, and how a path finds its row."""

from __future__ import annotations

import msgspec
import pytest

from booking_http.reply import Reply
from booking_http.routes import Answer, Call, Calls, Route, RouteTable


class Wish(msgspec.Struct):
    """A body."""

    seat: int


class Sample(Calls):
    """Three calls, one of which a payment's repeat takes another way."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def _stored(self, call: Call) -> Reply:
        self.told.append("stored")
        return Reply(200)

    @Route("POST", "/wish", Answer(), body=Wish, replay=_stored)
    async def make_a_wish(self, call: Call) -> Reply:
        """Wish for a seat
        by its number.

        Nobody promises anything.
        """
        self.told.append("made")
        return Reply(204)

    @Route("GET", "/wish/{id}", Answer())
    async def wish(self, call: Call) -> Reply:
        """One wish."""
        return Reply(200)

    @Route("GET", "/wish/{id}/answer", Answer(), name="answerOfWish", body=dict)
    async def answer(self, call: Call) -> Reply:
        """What became of it."""
        return Reply(200)


@pytest.fixture
def table() -> RouteTable:
    return RouteTable(Sample().routes())


def test_a_row_takes_name_and_summary_from_its_method(table: RouteTable) -> None:
    told = [(route.name, route.summary) for route in table.routes]
    assert told == [
        ("makeAWish", "Wish for a seat by its number"),
        ("wish", "One wish"),
        ("answerOfWish", "What became of it"),
    ]


async def test_a_row_calls_the_object_whose_rows_were_asked_for() -> None:
    one, other = Sample(), Sample()
    row = one.routes()[0]
    assert (await row.handle(None)).status == 204  # type: ignore[arg-type]
    assert row.replay is not None
    assert (await row.replay(None)).status == 200
    assert (one.told, other.told) == (["made", "stored"], [])


async def test_a_declared_row_cannot_be_served_unbound() -> None:
    with pytest.raises(AssertionError, match="only the rows"):
        await Route("GET", "/", Answer()).handle(None)  # type: ignore[arg-type]


def test_only_a_struct_is_decoded_before_the_handler(table: RouteTable) -> None:
    wish, one, answer = table.routes
    assert wish.reader is not None
    assert (one.reader, answer.reader) == (None, None)


@pytest.mark.parametrize(
    ("path", "template", "path_id"),
    [
        ("/wish", "/wish", ""),
        ("/wish/7", "/wish/{id}", "7"),
        ("/wish/a%2Fb", "/wish/{id}", "a/b"),
        ("/wish/7/answer", "/wish/{id}/answer", "7"),
    ],
)
def test_a_path_finds_its_row(table: RouteTable, path: str, template: str, path_id: str) -> None:
    resource, found_id = table.find(path)
    assert resource is not None
    assert (resource.template, found_id) == (template, path_id)


@pytest.mark.parametrize("path", ["/", "/wishes", "/wish/", "/wish/%ff", "/wish/7/8", "/wish/7/"])
def test_other_paths_find_nothing(table: RouteTable, path: str) -> None:
    assert table.find(path) == (None, "")


def test_get_serves_head_too(table: RouteTable) -> None:
    resource, _ = table.find("/wish/7")
    assert resource is not None
    assert resource.allow == "GET, HEAD, OPTIONS"
    assert resource.route("HEAD") is resource.route("GET")
    assert resource.route("POST") is None


def test_one_path_has_one_row_for_a_method() -> None:
    with pytest.raises(AssertionError, match="there twice"):
        RouteTable((*Sample().routes(), *Sample().routes()))
