"""docs/reference names everything that is served."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from booking.domain.decision import Code
from booking_http.codes import CODES, OPERATORS, CodeRow
from tests.support.edge import Edge
from tests.support.house import ROOT

REFERENCE = ROOT / "docs" / "reference"
PAGE = (REFERENCE / "http.md").read_text()
FANS = {code: row for code, row in CODES.items() if code not in OPERATORS}


@pytest.mark.parametrize(("name", "codes"), [("http.md", FANS), ("admin.md", OPERATORS)])
def test_the_table_of_codes_is_the_one_in_the_source(
    name: str, codes: Mapping[str, CodeRow]
) -> None:
    """A new row of the source is copied from the message of this test."""
    told = re.findall(r"^\| `\w+` \| \d+ \|.*$", (REFERENCE / name).read_text(), re.MULTILINE)
    rows = [
        f"| `{code}` | {row.status} | {row.title} | {row.meaning} |" for code, row in codes.items()
    ]
    assert "\n".join(told) == "\n".join(rows)


def test_every_code_of_the_domain_has_its_row() -> None:
    assert set(Code) - CODES.keys() == set()


async def test_the_reference_has_every_call(edge: Edge) -> None:
    named = set(re.findall(r"`(GET|POST|DELETE) (/[^`? ]*)", PAGE))
    served = {(route.method, route.path) for route in edge.server.table.routes}
    assert named == served
