"""The how-to about event consumers, run as it stands there."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.support.api_client import eventually
from tests.support.catalogues import catalogue, concert, date
from tests.support.house import ROOT
from tests.support.service import StartService

PAGE = ROOT / "docs" / "how-to" / "add-an-event-consumer.md"


async def query(dsn: str, text: str) -> list[Any]:
    connection = await asyncpg.connect(dsn)
    try:
        return list(await connection.fetch(text))
    except asyncpg.UndefinedTableError:
        return []
    finally:
        await connection.close()


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
    [named] = re.findall(r"BOOKING_CONSUMERS=(\S+)", PAGE.read_text(encoding="utf-8"))
    names: dict[str, Any] = {
        "CATALOGUE": catalogue(concert("c1", date("d1"))),
        "SEAT": "d1-7",
        "PRICE": 1_000,
        "query": query,
        "eventually": eventually,
    }

    async def start(dates: dict[str, Any], consumers: str) -> Any:
        assert consumers == named
        return await start_service(dates, BOOKING_CONSUMERS=consumers)

    exec(compile(test, PAGE.name, "exec"), names)
    await names["test_a_sale_adds_up"](start, database_url)
