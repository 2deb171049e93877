"""``scripts/measure``: its figures mean what they say, and the code is within their limits."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from scripts import measure

NOT_YET = {
    "lines of source": 55_600,
    "lines of tests for each line of source": 1.12,
}
"""Figures on their way to the limit, with the limit of today."""

TEST_NAME_LENGTH_MAX = 70


@pytest.mark.parametrize("figure", measure.figures(), ids=lambda figure: figure.name)
def test_the_figure_is_within_its_limit(figure: measure.Figure) -> None:
    limit = NOT_YET.get(figure.name, figure.limit)
    assert measure.Figure(figure.name, figure.value, figure.sign, limit).is_kept


def test_no_name_of_a_test_is_longer_than_a_line() -> None:
    names = [node.name for node in measure.Code("tests").functions]
    long = [name for name in names if re.match("test_", name) and len(name) > TEST_NAME_LENGTH_MAX]
    assert long == []


def code(root: Path, **sources: str) -> measure.Code:
    """A package ``booking`` with these modules."""
    folder = root / "booking"
    folder.mkdir()
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
    return measure.Code("booking", root=root)


def test_a_circle_is_found_also_where_it_is_for_types_or_late(tmp_path: Path) -> None:
    found = code(
        tmp_path,
        a="from booking import b",
        b="if TYPE_CHECKING:\n    from booking.c import C",
        c="def late():\n    from . import a",
        d="import booking.a\nfrom booking.e import nothing_back",
        e="",
    )
    assert found.import_circles() == [["booking.a", "booking.b", "booking.c"]]


def test_names_that_are_private_or_local_need_no_docstring(tmp_path: Path) -> None:
    found = code(
        tmp_path,
        a='"""Explained."""\nclass A:\n  def m(self): ...\n  def _p(): ...\n  def __eq__(): ...',
        b="def f():\n  def local(): ...\nclass _P:\n  def m(self): ...",
        __init__="",
    )
    assert found.unexplained() == [
        "booking/a.py:A",
        "booking/a.py:A:m",
        "booking/b.py",
        "booking/b.py:f",
    ]
    assert found.explained_share() == 20


def test_lines_of_a_function_are_those_of_its_code() -> None:
    source = '@decorator\ndef f(\n    a: int,\n) -> None:\n    """Two\n    lines."""\n    a += 1\n'
    function = ast.parse(source).body[0]
    assert isinstance(function, measure.Function)
    assert measure.function_lines(function) == 4
    assert measure.is_annotated(function)


def test_percentiles_are_values_that_occur() -> None:
    assert measure.percentile([5, 1, 3], 50) == 3
    assert measure.percentile(list(range(1, 101)), 95) == 95
