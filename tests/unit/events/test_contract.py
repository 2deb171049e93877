"""The public events are a contract: their shapes are on record, and so is their page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from booking.events.contract import TYPES, CloudEvent
from tests.support.house import ROOT
from tests.unit.events import page

GOLDEN = Path(__file__).with_name("golden_types.json")
RECORDED: dict[str, Any] = msgspec.json.decode(GOLDEN.read_bytes())


def shape(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Its fields as others see them, without what is said about them."""
    [schema] = msgspec.json.schema_components([kind])[1].values()
    return {"fields": schema["properties"], "required": schema["required"]}


def shapes() -> dict[str, Any]:
    return {"CloudEvent": shape(CloudEvent)} | {name: shape(kind) for kind, name in TYPES.items()}


def test_every_type_is_on_record() -> None:
    """A type that is not has to be added to the record, which is then never changed."""
    assert RECORDED.keys() == shapes().keys()


@pytest.mark.parametrize("name", RECORDED)
def test_a_type_keeps_the_fields_that_it_has_on_record(name: str) -> None:
    """A field may be added. Whatever else changes is a new version, which is a new type."""
    now, then = shapes()[name], RECORDED[name]
    assert {field: now["fields"].get(field) for field in then["fields"]} == then["fields"]
    assert set(then["required"]) <= set(now["required"])


def test_a_changed_field_is_noticed() -> None:
    class Changed(msgspec.Struct):
        seat_number: str

    name = "booking.seat.held.v1"
    assert shape(Changed)["fields"] != RECORDED[name]["fields"]


def test_types_are_called_as_the_contract_has_it() -> None:
    for kind, name in TYPES.items():
        house, noun, verb, version = name.split(".")
        assert (house, version) == ("booking", "v1")
        assert kind.__name__.lower() == noun + verb


def test_the_page_has_every_type_with_its_fields() -> None:
    text = (ROOT / "docs" / "reference" / "events.md").read_text(encoding="utf-8")
    for row in page.rows():
        assert row in text
