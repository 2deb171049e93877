"""The how-tos show code as it is in their patches."""

from __future__ import annotations

import re

import pytest

from tests.support.house import ROOT

HOW_TO = ROOT / "docs" / "how-to"


@pytest.mark.parametrize("name", ["add-a-call", "change-a-rule"])
def test_the_page_shows_lines_of_its_patch(name: str) -> None:
    page = (HOW_TO / f"{name}.md").read_text(encoding="utf-8")
    patch = (HOW_TO / "patches" / f"{name}.patch").read_text(encoding="utf-8")
    lines = (line[1:] for line in patch.splitlines(keepends=True) if line[0] in "+ ")
    added = "".join(lines)
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert blocks
    assert [block for block in blocks if block not in added] == []
