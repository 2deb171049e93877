"""A *scenario* is the story of one user, told as a generator.

It yields a request and is sent the answer, until it returns. Running one costs no task and no
future, which is what lets one process ask faster than the service can answer.
"""

from collections.abc import Callable, Generator
from typing import Any

import msgspec

from bench.client import Response

Call = tuple[str, bytes]
"""The name of the step, and the request."""
Scenario = Generator[Call, Response, None]
"""Ends when all went as meant; raises :class:`UnmetError` otherwise."""
Supply = Callable[[], Scenario | None]
"""Makes the next scenario, or ``None`` when there is nothing left to do."""

KEY_FIELD = b"Idempotency-Key: " + b"0" * 32 + b"\r\n"
"""A line of every POST. A :class:`bench.load.Pool` replaces it by a fresh key, or removes it:
requests are made once and sent many times, and a repeated key would repeat an answer."""
_FIXED = "Host: bench\r\nAccept: application/json\r\nUser-Agent: booking-bench\r\n"
"""Sent with every request. The host's name is the same for both targets, so that both parse the
same bytes."""


class UnmetError(Exception):
    """An answer was not the one that the scenario needs; the message is ``step:status``."""


def expect(step: str, request: bytes, *statuses: int) -> Generator[Call, Response, Response]:
    """One request whose answer has to have one of these statuses; raises :class:`UnmetError`."""
    response = yield step, request
    if response.status not in statuses:
        raise UnmetError(f"{step}:{response.status}")
    return response


def single(step: str, request: bytes, status: int) -> Scenario:
    """A scenario of one request that should get this status."""
    response = yield step, request
    if response.status != status:
        raise UnmetError(f"{step}:{response.status}")


# -- requests --------------------------------------------------------------------------------------


def get(path: str, token: str = "") -> bytes:
    """A GET request; ``path`` carries its query string already encoded."""
    return request("GET", path, token)


def post(path: str, body: str, token: str = "") -> bytes:
    """A POST request with a JSON body of ASCII characters, and room for a key."""
    fields = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    fields += KEY_FIELD.decode("ascii")
    return request("POST", path, token, fields) + body.encode("ascii")


def request(method: str, path: str, token: str, fields: str = "") -> bytes:
    """The head of a request; ``fields`` are further lines."""
    gate = f"queue-token: {token}\r\n" if token else ""
    return f"{method} {path} HTTP/1.1\r\n{_FIXED}{gate}{fields}\r\n".encode("ascii")


def route_of(request: bytes) -> tuple[str, str]:
    """Method and path (without the query) of request bytes made here."""
    method, target, _ = request[: request.index(b"\r\n")].decode("ascii").split(" ")
    return method, target.partition("?")[0]


def issue(user: str) -> bytes:
    """The request that lines a user up."""
    return post("/queue/issue", f'{{"userId":"{user}"}}')


def charge(user: str, amount: int) -> bytes:
    """The request that adds to a user's balance, in won."""
    return post("/user/charge", f'{{"userId":"{user}","amount":{amount}}}')


def hold(date: str, number: int, token: str) -> bytes:
    """The request that holds a seat."""
    return post("/reservation", f'{{"concertScheduleId":"{date}","seatNumber":{number}}}', token)


def data_of(response: Response) -> Any:
    """The ``data`` of an answer."""
    return msgspec.json.decode(response.body)["data"]
