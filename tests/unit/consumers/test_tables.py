"""A consumer's own database has the table that the migration makes in the service's."""

from __future__ import annotations

import re

from actors.connections.postgres import texts
from booking.schema import migrate


def test_both_ways_to_make_the_table_make_the_same() -> None:
    [migration] = [one for one in migrate.known() if one.name == "consumers"]
    [made] = re.findall(r"CREATE TABLE consumer_offsets .*?;", migration.sql, re.DOTALL)
    assert made.rstrip(";") == texts("actors.consumers", "offsets.sql")["create"]
