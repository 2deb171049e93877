"""Turns rejections and exceptions into refusals, whose status and title are the code's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from actors import errors
from booking.calls import UnknownError
from booking.domain.decision import Code, Rejected
from booking.queue.service import NotAdmittedError
from booking.queue.tokens import TokenError
from booking.queue.view import QueueStatus
from booking_http.codes import CODES, UNAVAILABLE, CodeRow

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
    """The request is refused by the edge itself. Not an accident: never logged as one."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        headers: dict[str, str] | None = None,
        extensions: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(code)
        self.refusal = Refusal(code, detail, headers or {}, extensions or {})


class RejectedError(RefusedError):
    """The domain refused the command; raised by handlers so that every refusal takes one way."""

    def __init__(self, rejected: Rejected, replayed: bool = False) -> None:
        Exception.__init__(self, rejected.code)
        self.refusal = of_rejection(rejected, replayed)


def malformed(detail: str) -> RefusedError:
    """400, with words that name what is wrong."""
    return RefusedError("malformed", detail)


def of_rejection(rejected: Rejected, replayed: bool = False) -> Refusal:
    """A domain's refusal as an answer."""
    headers = {"Idempotent-Replayed": "true"} if replayed else {}
    extensions = {}
    if rejected.code is Code.QUEUE_FULL:
        headers["Retry-After"] = str(_RETRY_QUEUE_FULL_S)
    if rejected.retry_after_ms:
        headers |= retry_after(rejected.retry_after_ms / 1000)
        extensions["retryAfterMs"] = rejected.retry_after_ms
    return Refusal(rejected.code, rejected.detail, headers, extensions)


def of_exception(error: Exception) -> Refusal:
    """An exception as an answer; ``internal_error``, without any detail, for what is unforeseen."""
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
    """Whole seconds, rounded up, at least 1 (RFC 9110, 10.2.3)."""
    return {"Retry-After": str(max(1, -int(-seconds // 1)))}


def _challenge(code: str) -> str:
    # RFC 6750, 3: no error attribute when no token was sent.
    realm = 'Bearer realm="booking"'
    return realm if code == "token_missing" else f'{realm}, error="invalid_token"'


def _not_admitted(standing: QueueStatus) -> Refusal:
    return Refusal(
        "not_admitted",
        f"Still waiting: {standing.ahead} ahead.",
        retry_after(standing.poll_after_ms / 1000),
        {
            "position": standing.position,
            "ahead": standing.ahead,
            "etaSeconds": standing.eta_s,
            "etaKnown": standing.eta_known,
            "pollAfterMs": standing.poll_after_ms,
        },
    )
