"""The tables' publication, for those who follow changes."""

from __future__ import annotations

from booking.readmodel import store
from booking.schema import migrate


async def test_the_tables_in_use_are_published_after_a_swap(database_url: str) -> None:
    """Given published tables, when others are swapped in, then those are, and no others."""
    await store.prepare(database_url)
    async with store.connected(database_url, store.NEXT) as connection:
        await migrate.apply(connection, store.migrations())
        await store.swap(connection)
        found = await connection.fetch(
            "SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = 'booking_read'"
        )
    assert {row["schemaname"] for row in found} == {store.SCHEMA}
    tables = "users cash cash_history waiting_queue concert concert_schedule seat seat_reservation"
    assert {row["tablename"] for row in found} == {*tables.split(), "payment"}
