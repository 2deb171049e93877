"""The operators' side against its documents: OpenAPI and the reference page."""

from __future__ import annotations

import re
from typing import Any

import jsonschema_rs

from tests.support.admin_edge import AdminEdge
from tests.support.house import ROOT
from tests.unit.edge.test_openapi import checker, operations, refs

PAGE = (ROOT / "docs" / "reference" / "admin.md").read_text(encoding="utf-8")
CONTRACT = {
    ("get", "/admin/cluster"),
    ("post", "/admin/rebalance"),
    ("get", "/admin/rebalance"),
    ("delete", "/admin/rebalance"),
    *(("post", f"/admin/shards/{{id}}/{verb}") for verb in ("move", "pin", "unpin")),
    *(("post", f"/admin/shards/{{id}}/{verb}") for verb in ("freeze", "unfreeze")),
    *(("post", f"/admin/instances/{{id}}/{verb}") for verb in ("drain", "undrain", "evict")),
    ("get", "/admin/queues/{id}"),
    ("patch", "/admin/queues/{id}"),
    ("put", "/admin/concerts"),
    ("put", "/admin/concerts/{id}"),
    ("get", "/admin/audit"),
    ("post", "/admin/audit"),
    ("get", "/admin/log"),
    ("get", "/admin/consumers"),
    *(
        ("post", f"/admin/consumers/{{id}}/{verb}")
        for verb in ("pause", "resume", "skip", "rewind")
    ),
    ("get", "/admin/losses"),
    ("post", "/admin/losses/accept"),
}


async def document(admin: AdminEdge) -> Any:
    return (await admin("GET", "/openapi.json", token=None)).json


async def test_every_call_of_the_contract_is_documented_and_guarded(admin: AdminEdge) -> None:
    spec = await document(admin)
    documented = {(method, path) for method, path, _ in operations(spec)}
    assert documented >= CONTRACT
    for _, path, operation in operations(spec):
        guarded = operation.get("security") == [{"adminToken": []}]
        assert guarded == (path.startswith("/admin") and "/console" not in path), path
        assert not guarded or {"401", "403", "429", "503"} <= operation["responses"].keys()


async def test_what_is_documented_is_served_and_what_is_served_is_documented(
    admin: AdminEdge,
) -> None:
    documented = {(method, path) for method, path, _ in operations(await document(admin))}
    served = {(route.method.lower(), route.path) for route in admin.server.table.routes}
    assert documented == served
    for path in {path for _, path in documented}:
        allow = (await admin("OPTIONS", path.replace("{id}", "x"))).headers["Allow"].lower()
        methods = set(allow.split(", ")) - {"options", "head"}
        assert methods == {method for method, at in documented if at == path}


async def test_the_document_holds_together(admin: AdminEdge) -> None:
    spec = await document(admin)
    for ref in refs(spec):
        at = spec
        for part in ref.removeprefix("#/").split("/"):
            at = at[part]
    for schema in spec["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)
    for _, path, operation in operations(spec):
        named = {each["name"] for each in operation["parameters"] if each.get("in") == "path"}
        assert named == set(re.findall(r"{(\w+)}", path))


async def test_real_answers_are_as_documented(admin: AdminEdge) -> None:
    spec = await document(admin)

    async def check(method: str, path: str, target: str = "", body: Any = None) -> int:
        answer = await admin(method.upper(), target or path, body)
        media = answer.headers["Content-Type"]
        checker(spec, method, path, answer.status, media).validate(answer.json)
        return answer.status

    admin.operations.join("d")
    rebalance, log, audit = "/admin/rebalance", "/admin/log", "/admin/audit"
    assert await check("get", "/admin/cluster") == 200
    assert await check("get", rebalance) == 404
    assert await check("post", rebalance, body={"dryRun": True}) == 200
    plan = (await admin("POST", rebalance, {"dryRun": True})).data["planId"]
    assert await check("post", rebalance, body={"planId": plan}) == 200
    admin.operations.step(3)
    assert await check("get", "/admin/cluster") == 200
    assert await check("get", rebalance) == 200
    assert await check("delete", rebalance) == 200
    assert await check("post", rebalance, body={}) == 400
    move = "/admin/shards/{id}/move"
    assert await check("post", move, "/admin/shards/3/move", {"to": "b"}) == 200
    assert await check("post", move, "/admin/shards/300/move", {"to": "b"}) == 404
    drain = "/admin/instances/{id}/drain"
    assert await check("post", drain, "/admin/instances/a/drain") == 200
    queue = "/admin/queues/{id}"
    assert await check("get", queue, "/admin/queues/main") == 200
    assert await check("get", "/admin/queues") == 200
    assert await check("patch", queue, "/admin/queues/main", {"activeS": 300}) == 200
    assert await check("put", "/admin/concerts", body={"concerts": []}) == 200
    assert await check("put", "/admin/concerts", body={"concerts": 1}) == 422
    assert await check("get", audit) == 200
    assert await check("post", audit) == 202
    assert await check("post", audit) == 409
    admin.audits.end("sold twice")
    assert await check("get", audit) == 200
    assert await check("get", log) == 200


def test_the_reference_has_every_call() -> None:
    named = set(re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/admin[^`? ]*)", PAGE))
    served = {(method.upper(), path) for method, path in CONTRACT}
    assert named >= served


async def test_the_reference_has_what_is_served_and_nothing_else(admin: AdminEdge) -> None:
    named = set(re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/admin[^`? ]*)", PAGE))
    served = {(route.method, route.path) for route in admin.server.table.routes}
    assert named <= served
    assert named >= {each for each in served if each[1].startswith("/admin")}


async def test_the_reference_names_every_number(admin: AdminEdge) -> None:
    numbers = (await admin("GET", "/metrics", token=None)).body.decode()
    for name in set(re.findall(r"^# TYPE (booking_admin_\w+) ", numbers, re.MULTILINE)):
        assert f"`{name}`" in PAGE, name
