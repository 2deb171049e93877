"""A journal, and a plain connection to look at its tables."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from actors.journal.postgres import PostgresJournal


@pytest.fixture
async def journal(database_url: str) -> AsyncIterator[PostgresJournal]:
    journal = PostgresJournal(database_url)
    await journal.connect()
    yield journal
    await journal.close()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()
