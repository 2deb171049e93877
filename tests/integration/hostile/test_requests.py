"""What no honest client sends: each is refused in the usual form, and the service takes no harm."""

from __future__ import annotations

import asyncio
import json

from tests.support.api_client import new_user
from tests.support.service import Service
from tests.support.wire import RawAnswer, assert_problem, raw, request

USER = "7b1f0d8e-3c52-4f0e-9d63-2a4f6f5a1c11"


def charge(amount: bytes) -> bytes:
    return b'{"userId":"%b","amount":%b}' % (USER.encode(), amount)


BODIES: dict[str, bytes] = {
    "true for 1": charge(b"true"),
    "1.0": charge(b"1.0"),
    "a string": charge(b'"1"'),
    "null": charge(b"null"),
    "an array": charge(b"[1]"),
    "NaN": charge(b"NaN"),
    "Infinity": charge(b"Infinity"),
    "minus Infinity": charge(b"-Infinity"),
    "an exponent": charge(b"1e3"),
    "hexadecimal": charge(b"0x10"),
    "leading zero": charge(b"01"),
    "0": charge(b"0"),
    "-1": charge(b"-1"),
    "one over the limit": charge(b"10000001"),
    "2^31": charge(b"2147483648"),
    "2^63": charge(b"9223372036854775808"),
    "2^64": charge(b"18446744073709551616"),
    "5,000 digits": charge(b"9" * 5_000),
    "an unknown field": charge(b'1,"balance":1'),
    "a repeated field": charge(b'1,"amount":2'),
    "a repeated field with another spelling": charge(b'1,"\\u0061mount":2'),
    "a prototype": charge(b'1,"__proto__":{}'),
    "10,000 brackets": b"[" * 10_000,
    "10,000 brackets in a field": charge(b"[" * 10_000),
    "10,000 objects in an unknown field": b'{"x":' * 2_500,
    "broken UTF-8": b'{"userId":"\xff\xfe","amount":1}',
    "overlong UTF-8": b'{"userId":"\xc0\xaf","amount":1}',
    "a byte order mark": b"\xef\xbb\xbf" + charge(b"1"),
    "UTF-16": charge(b"1").decode().encode("utf-16"),
    "empty": b"",
    "only blanks": b" \r\n\t",
    "NUL": b"\0",
    "null alone": b"null",
    "an array alone": b"[]",
    "a string alone": b'"x"',
    "a number alone": b"1",
    "cut off": charge(b"1")[:-1],
    "two documents": charge(b"1") * 2,
    "a comment": b"/* */" + charge(b"1"),
    "single quotes": charge(b"1").replace(b'"', b"'"),
    "a form": b"userId=1&amount=1",
    "XML": b"<amount>1</amount>",
}
"""Name to a body of POST /user/charge."""


async def test_malformed_bodies_are_refused_and_change_nothing(service: Service) -> None:
    port = service.app.port
    for name, body in BODIES.items():
        for target in ("/user/charge", "/queue/issue"):
            answer = await raw(port, request("POST", target, body=body))
            assert answer.status == 400, (name, target, answer)
            assert_problem(answer, 400, "malformed")
    assert await service.api.balance(USER) == 0


async def test_malformed_bodies_of_gated_calls_are_refused(service: Service) -> None:
    _, token = await service.api.enter()
    for name, body in BODIES.items():
        for target in ("/reservation", "/payment"):
            sent = request("POST", target, ("queue-token", token), body=body)
            answer = await raw(service.app.port, sent)
            assert answer.status == 400, (name, target, answer)
            assert_problem(answer, 400, "malformed")
            assert token.encode() not in answer.body
    assert (await service.api.call("GET", "/reservations", token=token)).data == []


USER_IDS: dict[str, str] = {
    "upper case": USER.upper(),
    "mixed case": USER[:8].upper() + USER[8:],
    "braces": "{" + USER + "}",
    "URN": "urn:uuid:" + USER,
    "no dashes": USER.replace("-", ""),
    "dashes elsewhere": USER.replace("-", "", 1) + "-",
    "a blank before": " " + USER,
    "a newline after": USER + "\n",
    "NUL after": USER + "\0",
    "a number": "1",
    "empty": "",
    "a quote": USER[:-1] + "'",
    "a wildcard": USER[:-1] + "%",
    "a path": "../" + USER,
    "Arabic digits": "\u0661" * 8 + USER[8:],
    "long": USER * 100,
}


async def test_an_id_has_one_spelling(service: Service) -> None:
    assert (await service.api.charge(USER, 5)).status == 200
    for name, user in USER_IDS.items():
        body = json.dumps({"userId": user, "amount": 1}).encode()
        answer = await raw(service.app.port, request("POST", "/user/charge", body=body))
        assert answer.status == 400, (name, answer)
        assert_problem(answer, 400, "malformed")
        seen = await service.api.call("GET", "/user/check", userId=user)
        assert (seen.status, seen.code) == (400, "malformed"), name
    assert await service.api.balance(USER) == 5


async def test_the_nil_id_is_a_user_like_any_other(service: Service) -> None:
    nil = "00000000-0000-0000-0000-000000000000"
    assert (await service.api.charge(nil, 5)).data == {"balance": 5}
    _, token = await service.api.enter(nil)
    assert (await service.api.status(token)).data["userId"] == nil


HEADERS: dict[str, tuple[tuple[tuple[str, str | bytes], ...], int]] = {
    "a bare key": ((("Idempotency-Key", "k"),), 200),
    "a quoted key": ((("Idempotency-Key", '"k"'),), 200),
    "255 characters": ((("Idempotency-Key", "k" * 255),), 200),
    "256 characters": ((("Idempotency-Key", "k" * 256),), 400),
    "an open quote": ((("Idempotency-Key", '"k'),), 400),
    "a quote inside": ((("Idempotency-Key", '"k"k"'),), 400),
    "an empty key": ((("Idempotency-Key", ""),), 400),
    "an empty string": ((("Idempotency-Key", '""'),), 400),
    "a key beyond ASCII": ((("Idempotency-Key", b"\xc3\xa9"),), 400),
    "a tab in a key": ((("Idempotency-Key", "a\tb"),), 400),
    "two keys": ((("Idempotency-Key", "a"), ("Idempotency-Key", "b")), 400),
    "a long request id": ((("X-Request-Id", "x" * 129),), 200),
    "a tab in a request id": ((("X-Request-Id", "a\tb"),), 200),
    "a request id beyond ASCII": ((("X-Request-Id", b"\xff"),), 200),
    "a control character": ((("X-Request-Id", b"a\x01b"),), 400),
    "NUL in a header": ((("X-Any", b"a\0b"),), 400),
    "a header of 9 kB": ((("X-Any", "x" * 9_000),), 400),
    "headers of 100 kB": (tuple((f"X-{n}", "x" * 1_000) for n in range(100)), 400),
    "a folded header": ((("X-Any", "a\r\n b"),), 400),
    "a blank in a name": ((("X Any", "a"),), 400),
    "two lengths": ((("Content-Length", "1"), ("Content-Length", "2")), 400),
    "a signed length": ((("Content-Length", "+62"),), 400),
    "length and chunks": ((("Content-Length", "62"), ("Transfer-Encoding", "chunked")), 400),
    "an unknown coding": ((("Transfer-Encoding", "gzip"),), 400),
    "gzip": ((("Content-Encoding", "gzip"),), 415),
    "an unknown expectation": ((("Expect", "a-miracle"),), 417),
}
"""Name to headers of a charge that is fine otherwise, and the status."""


async def test_odd_headers_have_their_answers(service: Service) -> None:
    for name, (headers, status) in HEADERS.items():
        body = json.dumps({"userId": new_user(), "amount": 1}).encode()
        sent = request("POST", "/user/charge", *headers, body=body)
        if name == "an unknown expectation":
            sent = sent[: -len(body)]  # whoever expects waits for the answer with the body
        answer = await raw(service.app.port, sent)
        assert answer.status == status, (name, answer)
        if status >= 400:
            assert_problem(answer, status)
        made = answer.headers["x-request-id"]
        assert made.isascii(), name
        assert made.isprintable(), name
        assert len(made) <= 128, name


TARGETS: dict[str, int] = {
    "/%2e%2e/%2e%2e/etc/passwd": 404,
    "/../etc/passwd": 404,
    "/docs/%2e%2e/openapi.json": 404,
    "//queue/status": 404,
    "/queue//status": 404,
    "/queue/status/": 404,
    "/queue%2fstatus": 404,
    "/QUEUE/status": 404,
    "/livez%00": 404,
    "/livez;x=1": 404,
    "/%": 404,
    "/%zz": 404,
    "/%ff": 404,
    "/reservation/%2e%2e": 401,
    "/" + "x" * 7_000: 404,
    "/" + "x" * 9_000: 400,
    "http://elsewhere/livez": 200,
    "livez": 400,
    "/livez?": 200,
    "/livez?x": 400,
    f"/user/check?userId={USER}&userId={USER}": 400,
    f"/user/check?userId={USER}&limit=1": 400,
    f"/user/history?userId={USER}&limit=0": 400,
    f"/user/history?userId={USER}&limit=-1": 400,
    f"/user/history?userId={USER}&limit=1e3": 400,
    f"/user/history?userId={USER}&limit=101": 400,
    f"/user/history?userId={USER}&limit=%31": 200,
    f"/user/history?userId={USER}&limit=100": 200,
    f"/user/history?userId={USER}&starting_after=nothing": 404,
    f"/payments?userId={USER}&starting_after=%27--": 404,
    f"/payment/x%00y?userId={USER}": 404,
    f"/payment/%27%20OR%201=1?userId={USER}": 404,
}


async def test_odd_targets_have_their_answers(service: Service) -> None:
    for target, status in TARGETS.items():
        answer = await raw(service.app.port, request("GET", target))
        assert answer.status == status, (target[:60], answer)
        if status >= 400:
            assert_problem(answer, status)


METHODS: dict[str, int] = {
    "TRACE": 405,
    "PUT": 405,
    "PATCH": 405,
    "QUERY": 405,
    "get": 400,
    "GeT": 400,
    "BREW": 400,
    "G@T": 400,
}


async def test_odd_methods_have_their_answers(service: Service) -> None:
    for method, status in METHODS.items():
        answer = await raw(service.app.port, request(method, "/livez"))
        assert answer.status == status, (method, answer)
        assert_problem(answer, status)
    answer = await raw(service.app.port, request("CONNECT", "elsewhere:443"))
    assert 400 <= answer.status < 500, answer
    assert_problem(answer, answer.status)


async def test_a_body_over_16_kib_is_refused_however_it_comes(service: Service) -> None:
    large = charge(b"1") + b" " * (16 * 1024)
    whole = await raw(service.app.port, request("POST", "/user/charge", body=large))
    assert_problem(whole, 413, "body_too_large")
    told = request("POST", "/user/charge", ("Content-Length", str(10**12)), body=b"")
    assert_problem(await raw(service.app.port, told), 413, "body_too_large")
    chunks = b"".join(b"400\r\n%b\r\n" % (b" " * 1024) for _ in range(17)) + b"0\r\n\r\n"
    chunked = request("POST", "/user/charge", ("Transfer-Encoding", "chunked"), body=chunks)
    assert_problem(await raw(service.app.port, chunked), 413, "body_too_large")
    unwanted = request("GET", "/livez", body=large)
    assert_problem(await raw(service.app.port, unwanted), 413, "body_too_large")
    exact = charge(b"1").ljust(16 * 1024)
    fits = await raw(service.app.port, request("POST", "/user/charge", body=exact))
    assert fits.status == 200, fits


async def test_slow_and_broken_off_bodies_hold_nobody_up(service: Service) -> None:
    """All at once, so that the limit of 10 s is waited for once; others are served meanwhile."""
    port = service.app.port
    late = request("POST", "/user/charge", ("Content-Length", "62"), body=charge(b"1")[:20])
    stalled = [asyncio.ensure_future(raw(port, late)) for _ in range(50)]
    unfinished = asyncio.ensure_future(raw(port, b"GET /livez HTTP/1.1\r\nHost: x\r\n"))
    broken_off = b"zz\r\n"
    sent = request("POST", "/user/charge", ("Transfer-Encoding", "chunked"), body=broken_off)
    assert_problem(await raw(port, sent), 400, "malformed")
    assert (await service.api.charge(USER, 3)).data == {"balance": 3}
    answers: list[RawAnswer] = await asyncio.gather(*stalled, unfinished)
    for answer in answers:
        assert_problem(answer, 408, "request_timeout")
    assert await service.api.balance(USER) == 3
