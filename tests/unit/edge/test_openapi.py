"""The served document against the served routes, both ways."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Literal

import jsonschema_rs
import pytest

from booking_http import EdgeSettings
from booking_http.codes import CODES
from booking_http.inputs import KEY_LENGTH_MAX, REQUEST_ID_LENGTH_MAX
from booking_http.openapi import document as written
from tests.support.edge import ALICE, BOB, Edge, running
from tests.support.instance import Instance

CONTRACT = {
    ("post", "/queue/issue"),
    ("get", "/queue/status"),
    ("delete", "/queue"),
    ("get", "/concert/available-dates"),
    ("get", "/concert/available-seats"),
    ("post", "/reservation"),
    ("get", "/reservation/{id}"),
    ("get", "/reservations"),
    ("delete", "/reservation/{id}"),
    ("post", "/user/charge"),
    ("get", "/user/check"),
    ("get", "/user/history"),
    ("post", "/payment"),
    ("get", "/payment/{id}"),
    ("get", "/payments"),
    ("get", "/livez"),
    ("get", "/readyz"),
    ("get", "/metrics"),
    ("get", "/openapi.json"),
    ("get", "/docs"),
}


async def document(edge: Edge) -> Any:
    answer = await edge("GET", "/openapi.json")
    assert answer.headers["Content-Type"] == "application/json"
    return answer.json


def operations(spec: Any) -> Iterator[tuple[str, str, Any]]:
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


async def test_every_call_of_the_contract_is_documented(edge: Edge) -> None:
    documented = {(method, path) for method, path, _ in operations(await document(edge))}
    assert documented >= CONTRACT


async def test_what_is_documented_is_served_and_what_is_served_is_documented(edge: Edge) -> None:
    documented = {(method, path) for method, path, _ in operations(await document(edge))}
    served = {(route.method.lower(), route.path) for route in edge.server.table.routes}
    assert documented == served
    for path in {path for _, path in documented}:
        target = path.replace("{id}", "x")
        allow = (await edge("OPTIONS", target)).headers["Allow"].lower().split(", ")
        methods = set(allow) - {"options", "head"}
        assert methods == {method for method, at in documented if at == path}


def refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from refs(value)


async def test_the_document_holds_together(edge: Edge) -> None:
    spec = await document(edge)
    assert spec["openapi"].startswith("3.1.")
    for ref in refs(spec):
        at = spec
        for part in ref.removeprefix("#/").split("/"):
            at = at[part]
    ids = [operation["operationId"] for _, _, operation in operations(spec)]
    assert len(ids) == len(set(ids))
    tags = {tag["name"] for tag in spec["tags"]}
    used = {name for component in spec["components"].values() for name in component}
    for _, _, operation in operations(spec):
        assert set(operation["tags"]) <= tags
        for requirement in operation.get("security", []):
            assert set(requirement) <= set(spec["components"]["securitySchemes"])
    unused = used - {ref.rsplit("/", 1)[1] for ref in refs(spec)}
    assert unused <= set(spec["components"]["securitySchemes"])


async def test_every_schema_is_a_valid_json_schema(edge: Edge) -> None:
    spec = await document(edge)
    for schema in spec["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)


async def test_path_parameters_are_those_of_the_path(edge: Edge) -> None:
    spec = await document(edge)
    for _, path, operation in operations(spec):
        named = {each["name"] for each in operation["parameters"] if each.get("in") == "path"}
        assert named == set(re.findall(r"{(\w+)}", path))


def checker(spec: Any, method: str, path: str, status: int, media: str) -> Any:
    response = spec["paths"][path][method]["responses"][str(status)]
    schema = response["content"][media]["schema"]
    whole = {**schema, "components": spec["components"]}
    return jsonschema_rs.validator_for(whole)


@pytest.mark.parametrize("auth", ["none", "token"])
async def test_real_answers_are_as_documented(auth: Any) -> None:
    instance = Instance(queue_max_active=1)
    async with running(instance, EdgeSettings(user_auth=auth)) as edge:
        spec = await document(edge)
        token = await edge.enter(ALICE)
        waiting = await edge.enter(BOB)
        reservation = await edge.hold(token, "d1-2")

        async def check(
            method: str, path: str, target: str, body: Any = None, with_token: str = token
        ) -> int:
            answer = await edge(method.upper(), target, body, token=with_token)
            media = answer.headers["Content-Type"]
            checker(spec, method, path, answer.status, media).validate(answer.json)
            documented = spec["paths"][path][method]["responses"][str(answer.status)]["headers"]
            for name in ("Location", "ETag", "Retry-After", "WWW-Authenticate"):
                assert (name not in answer.headers) or name in documented, (path, name)
            return answer.status

        user = f"userId={ALICE}"
        seats = "/concert/available-seats"
        seat = {"seatId": "d1-1"}
        charge = {"userId": ALICE, "amount": 1_000_000}
        assert await check("get", "/queue/status", "/queue/status") == 200
        assert await check("get", "/queue/status", "/queue/status", None, waiting) == 200
        assert await check("get", "/reservations", "/reservations", None, waiting) == 403
        assert await check("get", "/reservations", "/reservations", None, "x") == 401
        assert await check("post", "/queue/issue", "/queue/issue", {"userId": ALICE}) == 409
        assert await check("get", seats, f"{seats}?concertScheduleId=d1") == 200
        assert await check("get", seats, f"{seats}?concertScheduleId=d1&all=true") == 200
        assert await check("get", seats, seats) == 400
        dates = "/concert/available-dates"
        assert await check("get", dates, dates) == 200
        assert await check("post", "/reservation", "/reservation", seat) == 201
        assert await check("post", "/reservation", "/reservation", seat) == 409
        assert await check("get", "/reservations", "/reservations") == 200
        one = "/reservation/{id}"
        assert await check("get", one, f"/reservation/{reservation}") == 200
        assert await check("get", one, "/reservation/nope") == 404
        assert await check("post", "/payment", "/payment", seat) == 402
        assert await check("post", "/user/charge", "/user/charge", charge) == 200
        assert await check("post", "/payment", "/payment", seat) == 201
        payments = await edge("GET", f"/payments?{user}", token=token)
        payment = payments.data["items"][0]["id"]
        assert await check("get", "/payment/{id}", f"/payment/{payment}?{user}") == 200
        assert await check("get", "/payments", f"/payments?{user}") == 200
        assert await check("get", "/user/check", f"/user/check?{user}") == 200
        assert await check("get", "/user/history", f"/user/history?{user}") == 200
        assert await check("get", "/livez", "/livez") == 200
        assert await check("get", "/readyz", "/readyz?verbose") == 200
        instance.journal.go_away()
        assert await check("get", "/readyz", "/readyz?verbose") == 503


async def test_every_code_is_listed_for_people(edge: Edge) -> None:
    spec = await document(edge)
    told = {each["code"]: (each["status"], each["title"]) for each in spec["x-problems"]}
    assert told == {str(code): (row.status, row.title) for code, row in CODES.items()}


async def test_the_document_follows_the_setting_for_tokens() -> None:
    cases: list[tuple[Literal["none", "token"], bool]] = [("none", True), ("token", False)]
    for auth, optional in cases:
        async with running(settings=EdgeSettings(user_auth=auth)) as edge:
            spec = await document(edge)
            assert ({} in spec["paths"]["/user/check"]["get"]["security"]) is optional
            assert {} in spec["paths"]["/queue/issue"]["post"]["security"]
            assert {} not in spec["paths"]["/queue/status"]["get"]["security"]


async def test_what_is_the_same_in_every_document_agrees_with_the_code(edge: Edge) -> None:
    """Given the written part of the document, then its limits are those that are kept, each of its
    headers and parameters is in use, and every tag of a row has words."""
    spec = await document(edge)
    parts = spec["components"]
    key, request_id = parts["parameters"]["IdempotencyKey"], parts["headers"]["X-Request-Id"]
    assert key["schema"]["maxLength"] == KEY_LENGTH_MAX
    assert request_id["schema"]["maxLength"] == REQUEST_ID_LENGTH_MAX
    told = parts["parameters"]["RequestId"]["description"]
    assert told.startswith(f"At most {REQUEST_ID_LENGTH_MAX} characters")
    used = set(refs(spec))
    for kind in ("headers", "parameters"):
        assert {f"#/components/{kind}/{name}" for name in parts[kind]} <= used
    assert {route.tag for route in edge.server.table.routes} == {
        tag["name"] for tag in spec["tags"]
    }
    assert all(tag["description"] for tag in spec["tags"])


async def test_one_document_does_not_change_the_next(edge: Edge) -> None:
    """Given two tables of rows, when a document is made of each, then neither has what is the
    other's alone."""
    rows, settings = edge.server.table.routes, EdgeSettings()
    some = tuple(row for row in rows if row.tag == "queue")
    first = written(rows, settings)
    fewer = json.loads(written(some, settings))
    assert [tag["name"] for tag in fewer["tags"]] == ["queue"]
    assert set(fewer["paths"]) == {row.path for row in some}
    assert written(rows, settings) == first
