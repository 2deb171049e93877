"""The how-to about event consumers, run as it stands there."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.house import ROOT
from tests.support.service import StartService

PAGE = ROOT / "docs" / "how-to" / "add-an-event-consumer.md"


async def test_the_consumer_of_the_page_adds_up_what_is_paid(
    start_service: StartService,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    consumer, test = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "revenue.py").write_text(consumer)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "revenue", raising=False)
    names: dict[str, Any] = {}
    exec(compile(test, PAGE.name, "exec"), names)
    await names["test_a_sale_adds_up"](start_service, database_url)
