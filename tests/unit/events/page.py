"""The rows of docs/reference/events.md, as the code has them: ``python -m tests.unit.events.page``
prints them."""

from __future__ import annotations

from typing import Any

import msgspec

from booking.events.contract import TYPES


def rows() -> list[str]:
    return [row(kind, name) for kind, name in TYPES.items()]


def row(kind: type[msgspec.Struct], name: str) -> str:
    fields = ", ".join(map(_field, msgspec.structs.fields(kind)))
    said = " ".join((kind.__doc__ or "").replace("``", "`").split())
    return f"| `{name}` | {fields} | {said} |"


def _field(field: Any) -> str:
    values = getattr(field.type, "__args__", ())
    words = [value for value in values if isinstance(value, str)]
    return f"`{field.encode_name}`" + (f" ({', '.join(words)})" if words else "")


if __name__ == "__main__":
    print("\n".join(rows()))
