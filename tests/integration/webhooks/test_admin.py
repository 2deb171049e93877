"""Webhooks on the operators' side: over HTTP and on the command line."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from booking.webhooks.sending import Webhooks
from booking.webhooks.store import PATIENCE_S
from tests.support.admin_edge import AdminEdge
from tests.support.receivers import answering, charged, receiving, tell
from tests.unit.admin.test_command_line import Booking, booking

__all__ = ["booking"]

URL = "https://example.org/in"
KIND = "booking.balance.charged.v1"


@pytest.fixture
async def admin(webhooks: Webhooks) -> AsyncIterator[AdminEdge]:
    edge = AdminEdge(webhooks=webhooks, serving=False)
    await edge.start()
    yield edge
    await edge.stop()


async def create(admin: AdminEdge, **body: Any) -> Any:
    answer = await admin("POST", "/admin/webhooks", {"url": URL, **body})
    assert answer.status == 201, answer.body
    return answer.data


async def give_up(webhooks: Webhooks, dsn: str, *seqs: int) -> None:
    """These events happen, and are dead letters now."""
    await tell(dsn, webhooks.consumer().handle, [charged(seq) for seq in seqs])
    for posting in await webhooks.store.take({}, 100, 60.0):
        result = await webhooks._poster.post(posting)
        await webhooks.store.failed(posting, result, None, PATIENCE_S)


async def test_a_secret_is_told_once_and_in_no_trail(admin: AdminEdge) -> None:
    """Given an endpoint with a secret that was made and one with a secret that was given, then no
    later answer, and no line of the trail, holds any of them, nor the ones after a rotation."""
    given = "whsec_" + "QUJD" * 8
    secrets = [(await create(admin))["secret"], (await create(admin, secret=given))["secret"]]
    assert secrets[1] == given
    [one, two] = (await admin("GET", "/admin/webhooks")).data["items"]
    for view in (one, two):
        answer = await admin("POST", f"/admin/webhooks/{view['id']}/rotate", {})
        secrets.append(answer.data["secret"])
    body = {"secret": "whsec_" + "REVG" * 8, "overlapSeconds": 0}
    answer = await admin("POST", f"/admin/webhooks/{one['id']}/rotate", body)
    assert answer.data == {"id": one["id"], "secret": body["secret"]}
    secrets.append(str(body["secret"]))
    assert len(set(secrets)) == 5

    said = json.dumps(await admin.said())
    for path in ("", f"/{one['id']}", f"/{one['id']}/deliveries"):
        said += (await admin("GET", f"/admin/webhooks{path}")).body.decode()
    assert not any(secret in said or secret[6:] in said for secret in secrets)
    assert [what for _, what, _ in await admin.said()][:3] == [
        "webhook_create",
        "webhook_create",
        "webhook_rotate",
    ]


async def test_an_endpoint_is_changed_and_deleted(admin: AdminEdge) -> None:
    name = (await create(admin, types=[KIND], about="settlement"))["id"]
    path = f"/admin/webhooks/{name}"
    view = (await admin("GET", path)).data
    assert (view["types"], view["about"], view["enabled"]) == ([KIND], "settlement", True)
    body = {"enabled": False, "types": []}
    changed = (await admin("PATCH", path, body, headers={"X-Admin-User": "kim"})).data
    assert (changed["types"], changed["about"], changed["enabled"]) == ([], "settlement", False)
    who, what, detail = (await admin.said())[-1]
    assert (who.split()[0], what, detail) == ("kim", "webhook_change", {"webhook": name, **body})
    assert (await admin("DELETE", path)).data["what"] == "webhook_delete"
    assert (await admin("GET", "/admin/webhooks")).data == {"on": True, "items": []}
    for method, more, sent in (
        ("GET", "", None),
        ("PATCH", "", {"about": "x"}),
        ("DELETE", "", None),
        ("GET", "/deliveries", None),
        ("POST", "/resend", {}),
        ("POST", "/rotate", {}),
        ("POST", "/test", None),
    ):
        answer = await admin(method, path + more, sent)
        assert (answer.status, answer.code) == (404, "unknown_webhook"), (method, more)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"url": "https://169.254.169.254/latest"}, "webhook_invalid"),
        ({"url": "https://[::ffff:10.0.0.1]/"}, "webhook_invalid"),
        ({"url": "ftp://example.org"}, "webhook_invalid"),
        ({"url": URL, "types": ["booking.seat.eaten.v1"]}, "webhook_invalid"),
        ({"url": URL, "secret": "whsec_short"}, "webhook_invalid"),
        ({"url": URL, "enabled": True}, "malformed"),
        ({"url": ""}, "malformed"),
        ({"url": URL, "about": "two\nlines"}, "malformed"),
        ({}, "malformed"),
    ],
)
async def test_what_cannot_be_is_refused(admin: AdminEdge, body: Any, code: str) -> None:
    answer = await admin("POST", "/admin/webhooks", body)
    assert answer.code == code
    assert (await admin("GET", "/admin/webhooks")).data["items"] == []


async def test_without_the_setting_there_are_none() -> None:
    edge = AdminEdge(serving=False)
    await edge.start()
    try:
        assert (await edge("GET", "/admin/webhooks")).data == {"on": False, "items": []}
        answer = await edge("POST", "/admin/webhooks", {"url": URL})
        assert (answer.status, answer.code) == (404, "webhooks_off")
    finally:
        await edge.stop()


async def test_dead_letters_are_listed_and_sent_again(
    admin: AdminEdge, webhooks: Webhooks, database_url: str
) -> None:
    async with receiving(answering(500)) as receiver:
        name = (await create(admin, url=receiver.url))["id"]
        await give_up(webhooks, database_url, 1, 2)
    path = f"/admin/webhooks/{name}"
    items = (await admin("GET", f"{path}/deliveries?state=dead&limit=1")).data["items"]
    assert [(one["event"], one["trouble"]) for one in items] == [("7-2", "answered 500")]
    assert (await admin("GET", f"{path}/deliveries?state=eaten")).status == 400
    assert (await admin("POST", f"{path}/resend", {"events": ["7-2"]})).data == {"count": 1}
    view = (await admin("GET", path)).data
    assert (view["pending"], view["dead"]) == (1, 1)
    assert (await admin("POST", f"{path}/resend", {})).data == {"count": 1}


async def test_the_command_line_does_all_of_it(
    admin: AdminEdge, webhooks: Webhooks, database_url: str, booking: Booking, tmp_path: Path
) -> None:
    assert (await booking("webhooks", "show")).out == "There are no webhooks.\n"
    file = tmp_path / "secret"
    file.write_text("whsec_" + "QUJD" * 8 + "\n")
    async with receiving(answering(500, 204, 500)) as receiver:
        made = await booking(
            "webhooks", "create", receiver.url, "--type", KIND, "--secret-file", str(file)
        )
        assert made.lines[1] == [file.read_text().strip()]
        name = made.lines[0][0]
        await give_up(webhooks, database_url, 1)
        assert (await booking("webhooks", "test", name)).status == 0
        ran = await booking("webhooks", "test", name)
        assert (ran.status, ran.lines[0][:3]) == (1, [f"{name}:", "answered", "500"])
    shown = await booking("webhooks", "show")
    assert shown.lines[1][:4] == [name, "enabled", "0", "1"]
    assert (await booking("webhooks", "show", "--json")).json["items"][0]["types"] == [KIND]
    listed = await booking("webhooks", "deliveries", name, "--state", "dead")
    assert listed.lines[1][:4] == ["7-1", KIND, "dead", "1"]
    assert (await booking("webhooks", "resend", name, "7-9")).out == "0 events are due again.\n"
    assert (await booking("webhooks", "resend", name)).out == "1 events are due again.\n"
    assert (await booking("webhooks", "change", name, "--disable", "--to", URL)).status == 0
    [view] = (await admin("GET", "/admin/webhooks")).data["items"]
    assert (view["enabled"], view["url"], view["types"]) == (False, URL, [KIND])
    assert (await booking("webhooks", "change", name)).status == 2
    rotated = await booking("webhooks", "rotate", name, "--overlap", "60")
    assert rotated.lines[1][0].startswith("whsec_")
    assert (await booking("webhooks", "delete", name)).status == 0
    assert (await booking("webhooks", "delete", name)).status == 1
    nowhere = await booking("webhooks", "create", URL, "--secret-file", str(tmp_path / "none"))
    assert nowhere.status == 2
