"""Whatever the documents name exists, and whatever exists is documented.

Settings are held to docs/reference/settings.md in tests/unit/settings, routes and codes to
docs/reference/http.md in tests/unit/edge, metrics to docs/reference/metrics.md in
tests/integration/observability. Here: commands, and every mention anywhere.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from unittest.mock import Mock

import pytest

from booking.cli.main import build_parser
from booking.settings import KNOWN
from booking_http import AdminParts, EdgeMetrics, EdgeSettings, build_server
from booking_http.codes import CODES
from tests.support.house import ROOT, name_of, own_files

COMMANDS = (ROOT / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")
METRICS = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
NO_METRICS = {
    *("booking_http", "booking_client", "booking_start", "booking_end"),
    *("booking_read", "booking_read_next", "booking_journal"),
}
"""Packages, schemas and fields of the catalogue, which begin as metrics do."""
PAGES = {
    name_of(path): path.read_text(encoding="utf-8")
    for path in own_files()
    if path.suffix == ".md" and name_of(path) != "CHANGELOG.md"
}


def parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Each command by its words, nested ones too."""
    waiting = [("", build_parser())]
    while waiting:
        words, parser = waiting.pop()
        nested = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        for action in nested:
            waiting += [(f"{words} {name}".strip(), sub) for name, sub in action.choices.items()]
        if words and not nested:
            yield words, parser


def options(parser: argparse.ArgumentParser) -> set[str]:
    found = {text for action in parser._actions for text in action.option_strings}
    return {text for text in found if text.startswith("--")} - {"--help"}


def test_every_command_is_in_the_reference_with_its_options() -> None:
    missing = []
    for words, parser in parsers():
        if f"booking {words}" not in COMMANDS:
            missing.append(words)
        missing += [f"{words} {option}" for option in options(parser) if option not in COMMANDS]
    assert missing == []


def test_the_reference_names_no_command_or_option_that_is_not_there() -> None:
    known = {words for words, _ in parsers()}
    heads = {words.rsplit(" ", 1)[0] for words in known}
    for words in re.findall(r"`booking ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)*)", COMMANDS):
        assert words in known | heads or words.split()[0] in known, words
    every = {option for _, parser in parsers() for option in options(parser)} | {"--version"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", COMMANDS)) - every == set()


def test_every_setting_that_is_mentioned_exists() -> None:
    for page, text in PAGES.items():
        named = set(re.findall(r"\bBOOKING_[A-Z_]*[A-Z]\b", text))
        unknown = {name for name in named - set(KNOWN) if not name.startswith("BOOKING_TEST_")}
        assert unknown - {"BOOKING_VENV"} == set(), page  # read by scripts/, not by the service


def test_every_call_that_is_mentioned_is_served() -> None:
    edge = build_server(Mock(), EdgeSettings(), EdgeMetrics(), AdminParts())
    methods = "|".join(sorted({route.method for route in edge.table.routes}))
    for page, text in PAGES.items():
        for method, path in re.findall(rf"`({methods}) (/[^`? ]*)", text):
            found, _ = edge.table.find(path)  # a placeholder looks like an id
            assert found is not None, (page, method, path)
            assert found.route(method) is not None, (page, method, path)


@pytest.mark.parametrize("page", PAGES)
def test_every_metric_that_is_mentioned_exists(page: str) -> None:
    told = set(re.findall(r"^\| `(\w+)` \|", METRICS, re.MULTILINE))
    named = set(re.findall(r"`(booking_[a-z_]*[a-z])\b", PAGES[page]))
    assert named - told - NO_METRICS - {str(code) for code in CODES} == set()


def test_every_status_that_is_told_with_a_code_is_its_own() -> None:
    """`409 already_queued` and the like, wherever it stands."""
    status = {str(code): row.status for code, row in CODES.items()}
    for page, text in PAGES.items():
        for number, code in re.findall(r"\b([45]\d\d) `([a-z_]+)`", text):
            assert status.get(code) == int(number), (page, number, code)
