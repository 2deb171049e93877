"""The examples of the Python client's page, run against a running service."""

from __future__ import annotations

import asyncio
import re
import sys

import pytest

from tests.support.house import ROOT

PAGE = (ROOT / "clients" / "python" / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
EXAMPLE_MAX_S = 60


def test_the_shortest_one_is_the_whole_flow_in_fifteen_lines() -> None:
    assert len([line for line in EXAMPLES[0].splitlines() if line.strip()]) <= 15


@pytest.mark.parametrize("example", EXAMPLES, ids=["blocking", "asynchronous"])
async def test_an_example_books_a_seat(running_service: str, example: str) -> None:
    program, replaced = re.subn(r"http://127\.0\.0\.1:8080", running_service, example)
    assert replaced == 1
    python = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        said, complaints = await asyncio.wait_for(python.communicate(), EXAMPLE_MAX_S)
    finally:
        if python.returncode is None:
            python.kill()
            await python.wait()
    assert python.returncode == 0, complaints.decode()
    assert b"position 0" in said
    assert b"won" in said or b"COMPLETED" in said
