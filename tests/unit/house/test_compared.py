"""The page of what goes wrong elsewhere names the tests that hold it here: they have to exist."""

from __future__ import annotations

import ast
import re

from tests.support.house import ROOT, tree_of

PAGE = ROOT / "docs" / "explanation" / "compared.md"
NAMED = re.compile(r"`([\w/]+/test_\w+\.py)::(test_\w+)`")
TESTS = ROOT / "tests"


def rows() -> list[list[str]]:
    """The cells of each row of the page's tables, the headings left out."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    cells = [line.strip("|").split("|") for line in lines if line.startswith("| ")]
    return [row for row in cells if row[0].strip() != "reported"]


def test_every_test_named_on_the_page_exists() -> None:
    named = NAMED.findall(PAGE.read_text(encoding="utf-8"))
    missing = [f"{file}::{test}" for file, test in named if test not in functions_in(file)]
    assert named
    assert missing == []


def test_every_row_is_held_by_a_test_or_says_that_nothing_is_done() -> None:
    assert len(rows()) > 40
    unheld = [
        row[0].strip()
        for row in rows()
        if len(row) != 3 or not (NAMED.search(row[2]) or "**none**" in row[1])
    ]
    assert unheld == []


def functions_in(file: str) -> set[str]:
    path = TESTS / file
    if not path.exists():
        return set()
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return {node.name for node in ast.walk(tree_of(path)) if isinstance(node, kinds)}
