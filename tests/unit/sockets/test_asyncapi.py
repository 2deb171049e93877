"""The served AsyncAPI document, against itself, against the routes, and against real sockets."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from booking_http.sockets.codes import CLOSE_CODES
from tests.support.edge import ALICE, BOB, Edge, running
from tests.support.house import ROOT
from tests.support.instance import Instance
from tests.support.websockets import FAST, RawSocket, masked


async def document(edge: Edge) -> Any:
    answer = await edge("GET", "/asyncapi.json")
    assert answer.headers["Content-Type"] == "application/json"
    return answer.json


def at(spec: Any, ref: str) -> Any:
    for part in ref.removeprefix("#/").split("/"):
        spec = spec[part]
    return spec


def refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from ([node["$ref"]] if "$ref" in node else [])
        for value in node.values():
            yield from refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from refs(value)


async def test_the_document_holds_together(edge: Edge) -> None:
    spec = await document(edge)
    assert spec["asyncapi"] == "3.1.0"
    assert {"title", "version"} <= spec["info"].keys()
    for ref in refs(spec):
        at(spec, ref)
    for schema in spec["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)
    for operation in spec["operations"].values():
        channel = at(spec, operation["channel"]["$ref"])
        for message in operation["messages"]:
            assert at(spec, message["$ref"]) in channel["messages"].values()
    used = set(refs(spec))
    for kind in ("messages", "schemas"):
        for name in spec["components"][kind]:
            assert f"#/components/{kind}/{name}" in used


async def test_the_channels_are_the_routes_that_answer_101(edge: Edge) -> None:
    spec = await document(edge)
    served = {route.path: route for route in edge.server.table.routes if route.answer.status == 101}
    sockets = [channel for channel in spec["channels"].values() if "ws" in channel["bindings"]]
    assert {channel["address"] for channel in sockets} == set(served)
    for channel in sockets:
        query = channel["bindings"]["ws"]["query"]
        params = served[channel["address"]].params
        assert set(query["properties"]) == {param.name for param in params}
        assert query["required"] == [param.name for param in params if param.required]
        answer = await edge("GET", channel["address"])
        assert (answer.status, answer.code) == (401, "token_missing")


class Channel:
    """One documented channel, and what was seen there."""

    def __init__(self, spec: Any, name: str) -> None:
        channel = spec["channels"][name]
        query = channel["bindings"]["ws"]["query"]["required"]
        values = {"concertScheduleId": "d1"}
        self.target = "?".join([channel["address"], *(f"{each}={values[each]}" for each in query)])
        self.said = self._messages(spec, f"tell_{name}", "send")
        (self.ping,) = self._messages(spec, f"hear_{name}", "receive")
        self.seen: set[str] = set()
        schemas = [message["payload"] for message in self.said.values()]
        whole = {"oneOf": schemas, "components": spec["components"]}
        self._schema = jsonschema_rs.validator_for(whole)

    @staticmethod
    def _messages(spec: Any, operation: str, action: str) -> dict[str, Any]:
        described = spec["operations"][operation]
        assert described["action"] == action
        messages = [at(spec, at(spec, ref["$ref"])["$ref"]) for ref in described["messages"]]
        return {message["name"]: message for message in messages}

    def check(self, frame: bytes) -> str:
        """The frame is as documented; its kind."""
        document = msgspec.json.decode(frame)
        self._schema.validate(document)
        self.seen.add(document["type"])
        return str(document["type"])


@pytest.mark.parametrize("name", ["queue", "seats"])
async def test_real_sockets_say_what_is_documented_and_all_of_it(name: str) -> None:
    async with running(Instance(), FAST) as edge:
        spec = await document(edge)
        channel = Channel(spec, name)
        codes = {row["code"] for row in spec["x-close-codes"]}

        async def to_the_end(socket: RawSocket) -> int:
            while (received := await socket.frame())[0] == 1:
                channel.check(received[1])
            assert received[0] == 8
            return int.from_bytes(received[1][:2], "big")

        alice, bob = await edge.enter(ALICE), await edge.enter(BOB)
        one = await RawSocket.open(edge, channel.target, alice)
        two = await RawSocket.open(edge, channel.target, bob)
        await one.send(masked(0x81, msgspec.json.encode({"type": channel.ping})))
        while channel.check((await one.frame())[1]) != "pong":
            pass
        await edge("DELETE", "/queue", token=alice)
        assert await to_the_end(one) in codes
        stopping = asyncio.create_task(edge.server.stop(5.0))
        assert await to_the_end(two) in codes
        two.close()
        await stopping
        assert channel.seen == set(channel.said)


async def test_what_is_not_documented_is_not_understood(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    socket = await RawSocket.open(edge, "/queue/ws", token)
    await socket.send(masked(0x81, b'{"type":"pong"}'))
    assert (await socket.close_said())[0] == 1003


async def test_the_reference_has_every_close_code(edge: Edge) -> None:
    page = (ROOT / "docs" / "reference" / "websocket.md").read_text()
    rows = re.findall(r"^\| (\d{4}) \| (.+) \| (no|after the jitter) \|$", page, re.MULTILINE)
    table = [(str(row.code), row.meaning, row.reconnect) for row in CLOSE_CODES]
    assert rows == table
    spec = await document(edge)
    assert [row["code"] for row in spec["x-close-codes"]] == [row.code for row in CLOSE_CODES]


async def test_the_reference_has_every_message(edge: Edge) -> None:
    page = (ROOT / "docs" / "reference" / "websocket.md").read_text()
    spec = await document(edge)
    told = spec["channels"]["events"]["messages"]
    for kind, message in spec["components"]["messages"].items():
        if kind in told:
            continue
        assert f'{{"type":"{message["name"]}"' in page
