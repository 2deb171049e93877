"""docs/reference/http.md names everything that is served."""

from __future__ import annotations

import re

from booking_http.problems import STATUS
from tests.support.edge import Edge
from tests.support.house import ROOT

PAGE = (ROOT / "docs" / "reference" / "http.md").read_text()
OPERATORS_PAGE = (ROOT / "docs" / "reference" / "admin.md").read_text()


def test_the_reference_has_every_code_with_its_status() -> None:
    found = re.findall(r"^\| `(\w+)` \| (\d+) \|", PAGE + OPERATORS_PAGE, re.MULTILINE)
    rows = {(code, int(status)) for code, status in found}
    assert rows == {(str(code), status) for code, (status, _) in STATUS.items()}


async def test_the_reference_has_every_call(edge: Edge) -> None:
    named = set(re.findall(r"`(GET|POST|DELETE) (/[^`? ]*)", PAGE))
    served = {(route.method, route.path) for route in edge.server.table.routes}
    assert named == served
