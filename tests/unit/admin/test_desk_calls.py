"""Queues, concerts, audits and the trail over HTTP."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from booking_http.admin.concerts import CATALOGUE_SIZE_MAX
from tests.support.admin_edge import TOKEN, AdminEdge
from tests.support.edge import RawClient

WHO = "admin (127.0.0.1)"


# -- queues ---------------------------------------------------------------------------------------


async def test_a_queue_shows_its_rules_and_how_it_is_doing(admin: AdminEdge) -> None:
    await admin("PATCH", "/admin/queues/main", {"maxActive": 1})
    await admin.instance.line_up(1, 2, 3)
    report = (await admin("GET", "/admin/queues/main")).data
    assert report["mode"] == "open"
    assert report["maxActive"] == 1
    assert (report["active"], report["waiting"]) == (1, 2)
    assert (await admin("GET", "/admin/queues")).data["items"] == [report]


async def test_limits_change_one_by_one_and_the_trail_has_them(admin: AdminEdge) -> None:
    answer = await admin("PATCH", "/admin/queues/main", {"maxActive": 2_000})
    assert answer.status == 200
    assert (answer.data["maxActive"], answer.data["admitPerInterval"]) == (2_000, 600)
    await admin("PATCH", "/admin/queues/main", {"mode": "paused"})
    assert (await admin("GET", "/admin/queues/main")).data["mode"] == "paused"
    changes = admin.instance.events("PolicyChanged")
    assert [msgspec.json.decode(row.payload)["who"] for row in changes] == ["settings", WHO, WHO]
    assert await admin.said() == [
        (WHO, "queue", {"queue": "main", "maxActive": 2_000}),
        (WHO, "queue", {"queue": "main", "mode": "paused"}),
    ]


async def test_a_field_can_be_set_to_nothing(admin: AdminEdge) -> None:
    opening = {"opensAt": "2027-02-01T10:00:00Z"}
    assert (await admin("PATCH", "/admin/queues/main", opening)).data["opensAt"] is not None
    assert (await admin("PATCH", "/admin/queues/main", {"opensAt": None})).data["opensAt"] is None


async def test_rules_that_contradict_each_other_change_nothing(admin: AdminEdge) -> None:
    body = {"mode": "queue_all", "admitPerInterval": 0}
    answer = await admin("PATCH", "/admin/queues/main", body)
    assert (answer.status, answer.code) == (422, "queue_rules_invalid")
    assert "rate" in answer.json["detail"]
    assert (await admin("GET", "/admin/queues/main")).data["mode"] == "open"
    said = await admin.said()
    assert "refused" not in said[0][2]
    assert "rate" in said[1][2]["refused"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"mode": "closed"},
        {"maxActive": -1},
        {"maxActive": True},
        {"maxActive": 1.0},
        {"maxActive": None},
        {"max_active": 5},
        {"intervalS": 0},
        {"activeS": 10**9},
    ],
)
async def test_a_malformed_change_is_refused(admin: AdminEdge, body: dict[str, Any]) -> None:
    answer = await admin("PATCH", "/admin/queues/main", body)
    assert (answer.status, answer.code) == (400, "malformed")
    assert await admin.said() == []


async def test_an_unknown_queue_is_not_found_and_not_in_the_trail(admin: AdminEdge) -> None:
    for answer in (
        await admin("GET", "/admin/queues/other"),
        await admin("PATCH", "/admin/queues/other", {"mode": "paused"}),
    ):
        assert (answer.status, answer.code) == (404, "not_found")
    assert await admin.said() == []


# -- concerts -------------------------------------------------------------------------------------

DATE = {
    "id": "alpha-1",
    "open_at": "2027-05-01T19:00:00Z",
    "close_at": "2027-05-01T22:00:00Z",
    "booking_start": "2027-01-01T00:00:00Z",
    "booking_end": "2027-05-01T18:00:00Z",
    "price": 90_000,
}
ALPHA = {"id": "alpha", "name": "Alpha", "dates": [DATE]}


async def test_concerts_are_put_as_a_whole_document(admin: AdminEdge) -> None:
    answer = await admin("PUT", "/admin/concerts", {"concerts": [ALPHA]})
    assert answer.data == {"concerts": 1, "dates": 1, "version": 2}
    assert admin.dates["alpha-1"].concert_name == "Alpha"
    [(who, what, detail)] = await admin.said()
    assert (who, what) == (WHO, "catalogue")
    assert detail["bytes"] > 100


async def test_one_concert_is_put_by_its_id(admin: AdminEdge) -> None:
    answer = await admin("PUT", "/admin/concerts/alpha", ALPHA)
    assert answer.data["concerts"] == 1
    assert admin.dates["alpha-1"].concert_id == "alpha"
    assert (await admin.said())[0][2]["concert"] == "alpha"


async def test_seats_are_blocked_and_opened_and_the_trail_has_it(admin: AdminEdge) -> None:
    body = {"seats": "1-3,50", "reason": "house"}
    assert (await admin("POST", "/admin/dates/d1/block", body)).data == {"version": 2}
    assert admin.dates["d1"].total_seats == 46
    assert (await admin("POST", "/admin/dates/d1/open", {"seats": "2"})).data == {"version": 3}
    assert [block.spelled for block in admin.dates["d1"].blocked] == ["1", "3", "50"]
    assert await admin.said() == [
        (WHO, "block", {"date": "d1", **body}),
        (WHO, "open", {"date": "d1", "seats": "2"}),
    ]


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("d1/block", {"seats": "51", "reason": "x"}, "catalogue_conflict"),
        ("d1/block", {"seats": "1-", "reason": "x"}, "catalogue_conflict"),
        ("d9/open", {"seats": "1"}, "catalogue_conflict"),
        ("d1/block", {"seats": "1"}, "malformed"),
        ("d1/open", {"seats": ""}, "malformed"),
        ("d1/open", {"seats": [1]}, "malformed"),
    ],
)
async def test_seats_that_cannot_be_blocked_or_opened_are_told(
    admin: AdminEdge, path: str, body: dict[str, Any], code: str
) -> None:
    answer = await admin("POST", f"/admin/dates/{path}", body)
    assert answer.code == code
    assert admin.dates["d1"].total_seats == 50


async def test_the_id_in_the_path_has_to_be_the_concerts(admin: AdminEdge) -> None:
    answer = await admin("PUT", "/admin/concerts/beta", ALPHA)
    assert (answer.status, answer.code) == (422, "catalogue_invalid")
    [error] = answer.json["errors"]
    assert (error["line"], error["field"]) == (1, "id")
    assert list(admin.dates) == ["d1"]


async def test_everything_wrong_with_a_document_is_told_with_line_and_field(
    admin: AdminEdge,
) -> None:
    body = b"""{"concerts": [
 {"id": "alpha", "name": "Alpha", "dates": [
  {"id": "alpha-1", "open_at": "2027-05-01T19:00:00Z", "close_at": "2027-05-01T18:00:00Z",
   "booking_start": "2027-01-01T00:00:00Z", "booking_end": "2027-04-01T00:00:00Z",
   "price": 1},
  {"id": "alpha-2", "open_at": "2027-05-02T19:00:00Z", "close_at": "2027-05-02T22:00:00Z",
   "booking_start": "2027-01-01T00:00:00Z", "booking_end": "2027-04-01T00:00:00Z"}]}]}"""
    answer = await admin("PUT", "/admin/concerts", body=body)
    assert answer.status == 422
    assert [(error["line"], error["field"]) for error in answer.json["errors"]] == [
        (3, "concerts[0].dates[0].close_at"),
        (6, "concerts[0].dates[1].price"),
    ]
    assert list(admin.dates) == ["d1"]
    assert "refused" in (await admin.said())[-1][2]


async def test_one_concerts_fields_are_named_as_in_its_own_document(admin: AdminEdge) -> None:
    broken = {**ALPHA, "dates": [{**DATE, "price": -1}]}
    answer = await admin("PUT", "/admin/concerts/alpha", broken)
    assert [error["field"] for error in answer.json["errors"]] == ["dates[0].price"]


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[]", b'{"concerts": [}', b"nonsense"])
async def test_what_is_no_document_is_refused(admin: AdminEdge, body: bytes) -> None:
    for path in ("/admin/concerts", "/admin/concerts/alpha"):
        answer = await admin("PUT", path, body=body)
        assert (answer.status, answer.code) == (422, "catalogue_invalid")


async def test_dates_with_bookings_are_a_conflict(admin: AdminEdge) -> None:
    (status,) = await admin.instance.line_up(1)
    services = admin.instance.services
    await services.seats.reserve(services.queue.admitted(status.token), "d1", 1, None)
    answer = await admin("PUT", "/admin/concerts/c1", {**ALPHA, "id": "c1"})
    assert (answer.status, answer.code) == (409, "catalogue_conflict")
    assert answer.json["errors"] == [
        {"message": "date 'd1' of concert 'c1' has bookings in the journal and cannot be removed"}
    ]


async def test_a_document_may_be_large_but_not_endless(admin: AdminEdge) -> None:
    seats = [{"number": number, "price": 90_000} for number in range(1, 20_001)]
    date = {name: value for name, value in DATE.items() if name != "price"} | {"seats": seats}
    answer = await admin("PUT", "/admin/concerts/alpha", {**ALPHA, "dates": [date]})
    assert answer.status == 200
    client = await RawClient.to(admin.server.port)
    head = (
        "PUT /admin/concerts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {TOKEN}\r\nContent-Length: {CATALOGUE_SIZE_MAX + 1}\r\n\r\n"
    )
    await client.send(head.encode())
    status, _, refusal = await client.answer()
    assert status == 413
    assert b'"body_too_large"' in refusal
    client.close()


async def test_a_document_has_to_say_that_it_is_json(admin: AdminEdge) -> None:
    answer = await admin(
        "PUT", "/admin/concerts", body=b"{}", headers={"Content-Type": "text/plain"}
    )
    assert answer.status == 415
    assert (await admin("PUT", "/admin/concerts")).status == 400


# -- audits and the trail -----------------------------------------------------------------------


async def test_an_audit_is_begun_and_its_verdict_told(admin: AdminEdge) -> None:
    assert (await admin("GET", "/admin/audit")).data["verdict"] == "none"
    assert (await admin("POST", "/admin/audit")).status == 202
    running = (await admin("GET", "/admin/audit")).data
    assert running["runningSince"] is not None
    admin.audits.end()
    ended = (await admin("GET", "/admin/audit")).data
    assert (ended["verdict"], ended["runningSince"]) == ("clean", None)
    assert (ended["askedBy"], ended["tookSeconds"]) == (WHO, 1.25)
    assert ended["endedAt"].endswith("Z")
    assert (await admin.said())[0][1] == "audit_asked"


async def test_a_violation_is_shown(admin: AdminEdge) -> None:
    await admin("POST", "/admin/audit")
    admin.audits.end(violation="seat 7 is sold twice")
    data = (await admin("GET", "/admin/audit")).data
    assert data["verdict"] == "violated"
    verdicts = {each["check"]: each for each in data["report"]["verdicts"]}
    assert verdicts["I1"]["named"][0]["message"] == "seat 7 is sold twice"


async def test_an_audit_that_could_not_be_run_says_why(admin: AdminEdge) -> None:
    await admin("POST", "/admin/audit")
    admin.audits.end(problem="the journal is gone")
    data = (await admin("GET", "/admin/audit")).data
    assert (data["verdict"], data["problem"]) == ("failed", "the journal is gone")
    assert (data["report"], data["tookSeconds"]) == (None, None)


async def test_there_is_one_audit_at_a_time(admin: AdminEdge) -> None:
    await admin("POST", "/admin/audit")
    answer = await admin("POST", "/admin/audit")
    assert (answer.status, answer.code) == (409, "audit_running")


async def test_the_trail_is_read_page_by_page(admin: AdminEdge) -> None:
    for shard in range(7):
        await admin("POST", f"/admin/shards/{shard}/freeze", {"reason": "test"})
    seen: list[int] = []
    target = "/admin/log?limit=3"
    for _ in range(3):
        page = (await admin("GET", target)).data
        seen += [entry["detail"]["shard"] for entry in page["items"]]
        target = f"/admin/log?limit=3&starting_after={page['items'][-1]['id']}"
    assert seen == [6, 5, 4, 3, 2, 1, 0]
    assert page["has_more"] is False
    entry = page["items"][0]
    assert (entry["who"], entry["what"]) == (WHO, "freeze")
    assert entry["at"].endswith("Z")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "starting_after=x", "starting_after=-1", "before=1"]
)
async def test_a_wrong_page_is_refused(admin: AdminEdge, query: str) -> None:
    assert (await admin("GET", f"/admin/log?{query}")).status == 400
