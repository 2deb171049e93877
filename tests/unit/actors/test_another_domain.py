"""The runtime with a domain that is none of ours: the example of the how-to, as it stands there."""

from __future__ import annotations

import re

import pytest

from tests.support.house import ROOT

PAGE = ROOT / "docs" / "how-to" / "use-the-runtime.md"


def test_the_library_of_the_documents_prints_what_they_say(
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = PAGE.read_text(encoding="utf-8")
    program, printed = re.findall(r"```(?:python|text)\n(.*?)```", page, re.DOTALL)
    exec(compile(program, PAGE.name, "exec"), {"__name__": "library"})
    assert capsys.readouterr().out == printed
