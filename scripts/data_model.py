"""The diagram and the tables of docs/reference/data-model.md, made from the migrations.

``python -m scripts.data_model`` applies them to a private PostgreSQL and writes that part of the
page anew. A test holds the page to it.
"""

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import asyncpg

from booking.embedded import EmbeddedServers
from booking.readmodel import store

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "data-model.md"
BEGIN, END = "<!-- made by scripts/data_model.py -->", "<!-- end -->"
NO_ENTITIES = ("catalogue_version", "queue_draw", "schema_migrations", "consumer_offsets")
"""Tables for the consumer alone, which the diagram leaves out."""

_COLUMNS = """
SELECT c.relname AS table_name, obj_description(c.oid) AS meaning, a.attname AS name,
       format_type(a.atttypid, NULL) AS type, a.attnotnull AS required,
       col_description(c.oid, a.attnum) AS comment,
       coalesce(a.attnum = ANY(k.conkey), false) AS key
  FROM pg_class c
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p'
 WHERE c.relnamespace = current_schema::regnamespace AND c.relkind = 'r'
 ORDER BY c.relname, a.attnum
"""
_INDEXES = """
SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema ORDER BY indexname
"""


async def render(dsn: str) -> str:
    """That part of the page, of the schema that is in this database."""
    connection = await asyncpg.connect(store.in_schema(dsn, store.SCHEMA))
    try:
        columns = await connection.fetch(_COLUMNS)
        indexes = [row[0] for row in await connection.fetch(_INDEXES)]
    finally:
        await connection.close()
    tables = {
        name: list(some)
        for name, some in groupby(columns, lambda row: str(row["table_name"]))
        if name not in ("schema_migrations", "consumer_offsets")
    }
    lines = ["```mermaid", "erDiagram", *_diagram(tables), "```"]
    for name, some in tables.items():
        lines += [
            "",
            f"## {name}",
            "",
            str(some[0]["meaning"]),
            "",
            "| column | type | |",
            "|---|---|---|",
        ]
        lines += [f"| `{row['name']}` | {_type(row)} | {row['comment']} |" for row in some]
        found = [text.replace(f"{store.SCHEMA}.", "") for text in indexes if f".{name} " in text]
        lines += ["", *(f"- `{text}`" for text in found)]
    return "\n".join(lines)


def _type(row: asyncpg.Record) -> str:
    key = ", key" if row["key"] else "" if row["required"] else ", may be null"
    return f"{_short(row['type'])}{key}"


def _short(type_: str) -> str:
    return {"timestamp with time zone": "timestamptz"}.get(type_, type_)


def _diagram(tables: dict[str, list[asyncpg.Record]]) -> Iterator[str]:
    shown = {name: some for name, some in tables.items() if name not in NO_ENTITIES}
    for name, some in shown.items():
        for row in some:
            if other := _other(row["name"], shown):
                one = "o|" if name == "cash" else "o{"
                yield f"    {other} ||--{one} {name} : {row['name']}"
    for name, some in shown.items():
        yield f"    {name} {{"
        for row in some:
            marks = [*["PK"] * row["key"], *["FK"] * bool(_other(row["name"], shown))]
            yield f"        {_short(row['type'])} {row['name']} {','.join(marks)}".rstrip()
        yield "    }"


def _other(column: str, tables: Sequence[str] | dict[str, list[asyncpg.Record]]) -> str | None:
    """The table whose row a column names, by the rule that the migrations follow."""
    name = column.removesuffix("_id")
    found = "users" if name == "user" else name
    return found if name != column and found in tables else None


def put(page: str, part: str) -> str:
    """The page with this part in its place."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{part}\n\n{END}{rest.partition(END)[2]}"


def main() -> None:
    """Write the page."""
    with tempfile.TemporaryDirectory(prefix="booking-model-") as directory:
        Path(directory).chmod(0o711)
        servers = EmbeddedServers.start(Path(directory), durable=False, redis_url="unix:///none")
        try:
            asyncio.run(store.prepare(servers.database_url))
            part = asyncio.run(render(servers.database_url))
        finally:
            servers.stop()
    PAGE.write_text(put(PAGE.read_text("utf-8"), part), "utf-8")


if __name__ == "__main__":
    main()
