"""docs/reference/data-model.md says what the migrations make."""

from __future__ import annotations

from booking.readmodel import store
from scripts import data_model


async def test_the_page_is_of_the_schema_as_it_is(empty_database_url: str) -> None:
    """If this fails, run ``python -m scripts.data_model``."""
    await store.prepare(empty_database_url)
    page = data_model.PAGE.read_text("utf-8")
    assert data_model.put(page, await data_model.render(empty_database_url)) == page


async def test_every_table_and_column_says_what_it_is(empty_database_url: str) -> None:
    await store.prepare(empty_database_url)
    assert "None" not in await data_model.render(empty_database_url)
