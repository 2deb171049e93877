"""The how-to about event consumers, run as it stands there."""

from __future__ import annotations

import re
from typing import Any

from tests.support.house import ROOT
from tests.support.instance import Instance
from tests.support.journals import user_id

PAGE = ROOT / "docs" / "how-to" / "add-an-event-consumer.md"


async def test_the_consumer_of_the_page_counts_sold_seats() -> None:
    consumer, test = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {"Instance": Instance, "user_id": user_id, "__name__": "sold"}
    exec(compile(consumer, PAGE.name, "exec"), names)
    exec(compile(test, PAGE.name, "exec"), names)
    await names["test_a_sale_is_counted"]()
