"""A table of what clients get wrong, and what they are told."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from tests.support.edge import ALICE, Answered, Edge

_ID = ALICE.encode()


def _amount(literal: bytes) -> bytes:
    return b'{"userId":"%b","amount":%b}' % (_ID, literal)


def assert_problem(answer: Answered, status: int, code: str) -> None:
    """Every refusal has the whole form."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    problem = answer.json
    assert (answer.status, problem["code"]) == (status, code), problem
    assert problem["status"] == status
    assert problem["success"] is False
    assert problem["message"] == problem["detail"]
    assert problem["type"] == f"/docs#{code}"
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    assert problem["title"]
    assert "?" not in problem["instance"]


BODIES = {
    "nothing": (b"", "body"),
    "blank": (b"  ", "JSON"),
    "not JSON": (b"userId=1", "JSON"),
    "cut off": (b'{"userId":', "JSON"),
    "an array": (b"[]", "object"),
    "null": (b"null", "object"),
    "two documents": (_amount(b"1") + b"{}", "JSON"),
    "a byte order mark": (b"\xef\xbb\xbf" + _amount(b"1"), "JSON"),
    "UTF-16": (_amount(b"1").decode().encode("utf-16"), ""),
    "no amount": (b'{"userId":"%b"}' % _ID, "amount"),
    "no user": (b'{"amount":1}', "userId"),
    "an unknown field": (b'{"userId":"%b","amount":1,"role":"admin"}' % _ID, "role"),
    "a repeated field": (b'{"userId":"%b","amount":1,"amount":2}' % _ID, "amount"),
    "a repeated escaped field": (b'{"userId":"%b","amount":1,"amoun\\u0074":2}' % _ID, "amount"),
    "true": (_amount(b"true"), "amount"),
    "a float": (_amount(b"1.0"), "amount"),
    "an exponent": (_amount(b"1e3"), "amount"),
    "a string": (_amount(b'"1"'), "amount"),
    "amount null": (_amount(b"null"), "amount"),
    "NaN": (_amount(b"NaN"), "JSON"),
    "Infinity": (_amount(b"Infinity"), "JSON"),
    "a huge float": (_amount(b"1e400"), "amount"),
    "a huge integer": (_amount(b"9" * 4000), "amount"),
    "beyond 64 bits": (_amount(b"18446744073709551617"), "amount"),
    "nothing to charge": (_amount(b"0"), "amount"),
    "minus zero": (_amount(b"-0"), "amount"),
    "a negative amount": (_amount(b"-1"), "amount"),
    "one too much": (_amount(b"10000001"), "amount"),
    "an object for a number": (_amount(b"{}"), "amount"),
    "deep nesting": (_amount(b"[" * 8000), "amount"),
    "deep nesting in an unknown field": (b'{"x":' + b"[" * 8000, "x"),
    "broken UTF-8 in a value": (b'{"userId":"\xff","amount":1}', "UTF-8"),
    "broken UTF-8 in a name": (b'{"\xff":1}', "UTF-8"),
    "a lone surrogate": (b'{"userId":"\\ud800","amount":1}', "JSON"),
    "an encoded surrogate": (b'{"userId":"\xed\xa0\x80","amount":1}', "UTF-8"),
    "a raw control character": (b'{"userId":"\x01","amount":1}', ""),
}
"""Name, body of POST /user/charge, and a word that the message has to contain."""


@pytest.mark.parametrize("name", BODIES)
async def test_a_malformed_body_is_refused_by_name(front: Edge, name: str) -> None:
    body, word = BODIES[name]
    answer = await front("POST", "/user/charge", body=body)
    assert_problem(answer, 400, "malformed")
    assert word in answer.json["detail"]
    assert len(answer.json["detail"]) < 300
    assert not front.instance.events("Charged")


USERS = {
    "upper case": ALICE.upper(),
    "without dashes": ALICE.replace("-", ""),
    "in braces": "{" + ALICE + "}",
    "as URN": f"urn:uuid:{ALICE}",
    "with a newline": f"{ALICE}\n",
    "with a space": f" {ALICE}",
    "with NUL": f"{ALICE}\0",
    "too short": ALICE[:-1],
    "not hexadecimal": f"g{ALICE[1:]}",
    "full width digits": "\uff11" + ALICE[1:],
    "empty": "",
    "negative": "-1",
    "SQL": "' OR 1=1 --",
}


@pytest.mark.parametrize("name", USERS)
async def test_a_user_id_has_one_form(front: Edge, name: str) -> None:
    for target, body in (
        ("/queue/issue", {"userId": USERS[name]}),
        ("/user/charge", {"userId": USERS[name], "amount": 1}),
    ):
        answer = await front("POST", target, body)
        assert_problem(answer, 400, "malformed")
        assert answer.json["detail"] == "userId: a UUID in canonical lower-case form is expected"


RESERVATIONS: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "seatId"),
    ({"seatId": "d1-1", "seatNumber": 1}, "seatId"),
    ({"seatId": "d1-1", "concertScheduleId": "d1"}, "seatId"),
    ({"concertScheduleId": "d1"}, "seatNumber"),
    ({"seatNumber": 1}, "concertScheduleId"),
    ({"concertScheduleId": "d1", "seatNumber": 0}, "seatNumber"),
    ({"concertScheduleId": "d1", "seatNumber": -1}, "seatNumber"),
    ({"concertScheduleId": "d1", "seatNumber": True}, "seatNumber"),
    ({"concertScheduleId": "d1", "seatNumber": 1.0}, "seatNumber"),
    ({"concertScheduleId": 1, "seatNumber": 1}, "concertScheduleId"),
    ({"seatId": None}, "seatId"),
    ({"seatId": ""}, "seatId"),
    ({"seatId": "x" * 129}, "seatId"),
    ({"seatId": "d1-1", "userId": ALICE}, "userId"),
    ({"seatId": "d1-1", "price": 1}, "price"),
)


@pytest.mark.parametrize(("body", "word"), RESERVATIONS)
async def test_a_malformed_reservation_is_refused_by_name(
    edge: Edge, body: dict[str, object], word: str
) -> None:
    token = await edge.enter(ALICE)
    answer = await edge("POST", "/reservation", body, token=token)
    assert_problem(answer, 400, "malformed")
    assert word in answer.json["detail"]


QUERIES = (
    ("/user/check", "userId"),
    ("/user/check?userId=", "userId"),
    (f"/user/check?userId={ALICE}&userId={ALICE}", "userId"),
    (f"/user/check?userId={ALICE}&limit=1", "limit"),
    (f"/user/check?userId={ALICE}&x", "x"),
    (f"/user/check?UserId={ALICE}", "UserId"),
    (f"/user/check?userId={ALICE.upper()}", "userId"),
    ("/user/check?userId=%ff", "userId"),
    (f"/user/check?%ff={ALICE}", "query"),
    (f"/user/check?userId={ALICE}%0A", "userId"),
    (f"/user/history?userId={ALICE}&limit=0", "limit"),
    (f"/user/history?userId={ALICE}&limit=101", "limit"),
    (f"/user/history?userId={ALICE}&limit=-1", "limit"),
    (f"/user/history?userId={ALICE}&limit=1.0", "limit"),
    (f"/user/history?userId={ALICE}&limit=01", "limit"),
    (f"/user/history?userId={ALICE}&limit=%D9%A1", "limit"),
    (f"/user/history?userId={ALICE}&limit=", "limit"),
    (f"/user/history?userId={ALICE}&limit={'9' * 5000}", "limit"),
    (f"/user/history?userId={ALICE}&starting_after=", "starting_after"),
    (f"/user/history?userId={ALICE}&starting_after=a%20b", "starting_after"),
    (f"/user/history?userId={ALICE}&starting_after={'a' * 129}", "starting_after"),
    ("/livez?x=1", "x"),
    ("/livez?" + "&".join(f"a{number}=1" for number in range(1000)), "a0"),
    ("/readyz?verbose=maybe", "verbose"),
    (f"/queue/issue?userId={ALICE}", "userId"),
)


@pytest.mark.parametrize(("target", "word"), QUERIES, ids=[query[0][:60] for query in QUERIES])
async def test_a_malformed_query_is_refused_by_name(front: Edge, target: str, word: str) -> None:
    method = "POST" if target.startswith("/queue/issue") else "GET"
    answer = await front(method, target, {"userId": ALICE} if method == "POST" else None)
    assert_problem(answer, 400, "malformed")
    assert word in answer.json["detail"]


async def test_an_ampersand_too_many_is_no_parameter(edge: Edge) -> None:
    assert (await edge("GET", f"/user/check?&userId={ALICE}&")).status == 200


CONTENT_TYPES = (
    "",
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/json; charset=latin-1",
    "application/json; x=y",
    "application/problem+json",
)


@pytest.mark.parametrize("declared", CONTENT_TYPES)
async def test_a_body_has_to_be_declared_as_json(front: Edge, declared: str) -> None:
    answer = await front(
        "POST", "/user/charge", body=_amount(b"1"), headers={"Content-Type": declared}
    )
    assert_problem(answer, 415, "unsupported_media_type")
    assert answer.headers["Accept"] == "application/json"


@pytest.mark.parametrize(
    "declared",
    ["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"', "application/json;"],
)
async def test_json_in_utf_8_may_be_spelled_as_one_likes(edge: Edge, declared: str) -> None:
    headers = {"Content-Type": declared}
    assert (await edge("POST", "/user/charge", body=_amount(b"1"), headers=headers)).status == 200


async def test_a_compressed_body_is_refused_unread(front: Edge) -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    assert len(bomb) < 16 * 1024
    answer = await front("POST", "/user/charge", body=bomb, headers={"Content-Encoding": "gzip"})
    assert_problem(answer, 415, "unsupported_media_type")


TOKENS = {
    "empty": "",
    "blank": "a b",
    "forged": "x" * 100,
    "too long": "x" * 5000,
    "the user's id": ALICE,
    "a number": "1",
    "non-ASCII": "töken",
}


@pytest.mark.parametrize("name", TOKENS)
async def test_a_token_that_is_not_ours_opens_nothing(edge: Edge, name: str) -> None:
    await edge.enter(ALICE)
    for method, target, body in (
        ("GET", "/queue/status", None),
        ("DELETE", "/queue", None),
        ("GET", "/concert/available-dates", None),
        ("GET", "/concert/available-seats?concertScheduleId=d1", None),
        ("POST", "/reservation", {"seatId": "d1-1"}),
        ("GET", "/reservation/rsv_1", None),
        ("GET", "/reservations", None),
        ("DELETE", "/reservation/rsv_1", None),
        ("POST", "/payment", {"seatId": "d1-1"}),
    ):
        answer = await edge(method, target, body, token=TOKENS[name])
        assert_problem(answer, 401, "token_invalid")
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
        none = await edge(method, target, body)
        assert_problem(none, 401, "token_missing")


KEYS = {
    "empty": "",
    "empty and quoted": '""',
    "too long": "k" * 256,
    "too long and quoted": '"' + "k" * 256 + '"',
    "not closed": '"abc',
    "with parameters": '"abc";x=1',
    "a bad escape": '"a\\b"',
    "non-ASCII": "schlüssel",
}


@pytest.mark.parametrize("name", KEYS)
async def test_a_malformed_idempotency_key_is_refused(front: Edge, name: str) -> None:
    answer = await front(
        "POST",
        "/user/charge",
        {"userId": ALICE, "amount": 1},
        headers={"Idempotency-Key": KEYS[name]},
    )
    assert_problem(answer, 400, "malformed")
    assert "Idempotency-Key" in answer.json["detail"]
    assert not front.instance.events("Charged")


PATHS = (
    "/static/",
    "/nope",
    "/queue/status/",
    "/queue//status",
    "/Queue/status",
    "/reservation/",
    "/payment/",
    "/reservation/a/b",
    "/../etc/passwd",
    "/docs/../server.py",
    "/docs/docs.py",
    "/%00",
    "/reservation/%ff",
)


@pytest.mark.parametrize("path", PATHS)
async def test_an_unknown_path_is_not_found(front: Edge, path: str) -> None:
    assert_problem(await front("GET", path), 404, "not_found")


@pytest.mark.parametrize("wanted", ["%00", "%F0%9F%98%80", "a%20b", "..", "x" * 3000, "a%2Fb"])
async def test_an_id_of_any_spelling_is_only_unknown(edge: Edge, wanted: str) -> None:
    token = await edge.enter(ALICE)
    answer = await edge("GET", f"/reservation/{wanted}", token=token)
    assert_problem(answer, 404, "not_found")
    answer = await edge("GET", f"/payment/{wanted}?userId={ALICE}")
    assert_problem(answer, 404, "not_found")
