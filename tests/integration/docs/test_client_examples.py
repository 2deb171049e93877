"""The examples of the Python client's page, run against a running service."""

from __future__ import annotations

import re
import sys

import pytest

from tests.support.house import ROOT
from tests.support.processes import outcome

PAGE = (ROOT / "clients" / "python" / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
EXAMPLE_MAX_S = 60


def test_the_shortest_one_is_the_whole_flow_in_fifteen_lines() -> None:
    assert len([line for line in EXAMPLES[0].splitlines() if line.strip()]) <= 15


@pytest.mark.parametrize("example", EXAMPLES, ids=["blocking", "asynchronous"])
async def test_an_example_books_a_seat(running_service: str, example: str) -> None:
    program, replaced = re.subn(r"http://127\.0\.0\.1:8080", running_service, example)
    assert replaced == 1
    status, said = await outcome(sys.executable, "-c", program, within_s=EXAMPLE_MAX_S)
    assert status == 0, said
    assert "position 0" in said
    assert "won" in said or "COMPLETED" in said
