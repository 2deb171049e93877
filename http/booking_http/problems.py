"""Turns rejections and exceptions into refusals, whose status and title are the code's."""

from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from actors import errors
from booking.calls import Outcome, TokenError, UnknownError
from booking.domain.decision import Code, Rejected
from booking.queue.service import NotAdmittedError
from booking.queue.view import QueueStatus
from booking_http.codes import CODES, UNAVAILABLE, CodeRow
from booking_http.reply import NO_STORE, PROBLEM, Reply, header
from booking_http.schemas import Problem

T = TypeVar("T")

_ENCODE = msgspec.json.Encoder().encode
_INSTANCE_LENGTH_MAX = 256
"""Of a path that is told back to the client: ours are under 100 characters."""
_RETRY_QUEUE_FULL_S = 30
"""A full queue empties at the pace of admissions, so there is no point in asking every second."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a problem document needs besides the request it answers."""

    code: str
    detail: str = ""
    """Of this occurrence; empty for the meaning of the code."""
    headers: dict[str, str] = field(default_factory=dict)
    extensions: dict[str, Any] = field(default_factory=dict)

    @property
    def row(self) -> CodeRow:
        """What the code means."""
        return CODES[self.code]


class RefusedError(Exception):
    """The edge refuses the request. Handlers raise it; it is an outcome and never logged."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        headers: dict[str, str] | None = None,
        extensions: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(code)
        self.refusal = Refusal(code, detail, headers or {}, extensions or {})


def malformed(detail: str) -> RefusedError:
    """A refusal with 400; ``detail`` names what is wrong."""
    return RefusedError("malformed", detail)


def accepted(outcome: Outcome[T | Rejected]) -> T:
    """The value of an outcome; :class:`RefusedError` if the domain rejected the command."""
    if isinstance(outcome.value, Rejected):
        raise rejection(outcome.value, outcome.replayed)
    return outcome.value


def problem_reply(refusal: Refusal, path: str, request_id: str) -> Reply:
    """A refusal as an RFC 9457 document."""
    status, title, meaning, _ = refusal.row
    detail = refusal.detail or meaning
    problem = Problem(
        type=f"/docs#{refusal.code}",
        title=title,
        status=status,
        detail=detail,
        instance=path[:_INSTANCE_LENGTH_MAX],
        success=False,
        message=detail,
        code=str(refusal.code),
        request_id=request_id,
        **refusal.extensions,
    )
    lines = b"".join(header(name, value) for name, value in refusal.headers.items())
    return Reply(status, PROBLEM + NO_STORE + lines, _ENCODE(problem))


def rejection(rejected: Rejected, replayed: bool = False) -> RefusedError:
    """A rejection of the domain as a refusal, so that every refusal takes one way."""
    headers = {"Idempotent-Replayed": "true"} if replayed else {}
    extensions: dict[str, Any] = {}
    if rejected.code is Code.QUEUE_FULL:
        headers["Retry-After"] = str(_RETRY_QUEUE_FULL_S)
    if rejected.retry_after_ms:
        headers |= retry_after(rejected.retry_after_ms / 1000)
        extensions["retryAfterMs"] = rejected.retry_after_ms
    if rejected.seats:
        extensions["seats"] = rejected.seats
    return RefusedError(rejected.code, rejected.detail, headers, extensions)


def of_exception(error: Exception) -> Refusal:
    """An exception as a refusal; ``internal_error``, without any detail, for what is unforeseen."""
    match error:
        case RefusedError():
            return error.refusal
        case TokenError():
            challenge = {"WWW-Authenticate": _challenge(error.code)}
            return Refusal(error.code, headers=challenge)
        case NotAdmittedError():
            return _not_admitted(error.status)
        case UnknownError():
            return Refusal("not_found")
        case errors.KeyReusedError():
            return Refusal("idempotency_key_reused")
        case errors.KeyInFlightError():
            return Refusal("idempotency_key_in_flight", headers={"Retry-After": "1"})
        case errors.UnavailableError():
            code = error.reason if error.reason in UNAVAILABLE else "unavailable"
            return Refusal(code, headers=retry_after(error.retry_after_s))
        case _:
            return Refusal("internal_error")


def retry_after(seconds: float) -> dict[str, str]:
    """The header in whole seconds, rounded up, at least 1 (RFC 9110, 10.2.3)."""
    return {"Retry-After": str(max(1, -int(-seconds // 1)))}


def _challenge(code: str) -> str:
    # RFC 6750, 3: no error attribute when no token was sent.
    realm = 'Bearer realm="booking"'
    return realm if code == "token_missing" else f'{realm}, error="invalid_token"'


def _not_admitted(status: QueueStatus) -> Refusal:
    return Refusal(
        "not_admitted",
        f"Still waiting: {status.ahead} ahead.",
        retry_after(status.poll_after_ms / 1000),
        {
            "position": status.position,
            "ahead": status.ahead,
            "etaSeconds": status.eta_s,
            "etaKnown": status.eta_known,
            "pollAfterMs": status.poll_after_ms,
        },
    )
