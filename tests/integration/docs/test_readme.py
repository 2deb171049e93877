"""The READMEs' walk through the API, pasted into a shell against a running service."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.house import ROOT
from tests.support.processes import outcome

WALK_TIMEOUT_S = 60
"""A dozen requests; the rest is for a busy machine."""


WALKS = {"README.md": "## A walk through", "README.ko.md": "## API 한 바퀴"}
"""Each README to the heading of its walk."""


def walk(page: str) -> str:
    section = (ROOT / page).read_text(encoding="utf-8").partition(WALKS[page])[2]
    fenced = re.search(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert fenced is not None, "the README has lost its walk"
    return fenced.group(1)


@pytest.mark.parametrize("page", WALKS)
async def test_the_walk_in_the_readme_books_a_seat(running_service: str, page: str) -> None:
    script, replaced = re.subn(
        r"^base=.*$", f"base={running_service}", walk(page), flags=re.MULTILINE
    )
    assert replaced == 1
    status, said = await outcome("/bin/sh", "-eu", "-c", script, within_s=WALK_TIMEOUT_S)
    assert status == 0, said
    answers = [json.loads(line) for line in said.splitlines() if line.strip()]
    assert all(answer["success"] for answer in answers), said

    held, charged, repeated, paid, balance, history = (answer["data"] for answer in answers)
    assert held["status"] == "PENDING"
    assert charged == repeated == {"balance": held["price"]}
    assert paid["status"] == "COMPLETED"
    assert paid["totalAmount"] == held["price"]
    assert balance == {"balance": 0}
    assert [item["type"] for item in history["items"]] == ["USE", "CHARGE"]


def test_both_walks_are_the_same_but_for_the_words() -> None:
    commands = [re.sub(r"^#.*$", "", walk(page), flags=re.MULTILINE) for page in WALKS]
    assert commands[0] == commands[1]
