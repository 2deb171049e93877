"""Every refusal: its code, its HTTP status, its words. Nothing else in the edge picks a status."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from actors import errors
from booking.api import NotAdmittedError, QueueStatus, TokenError, UnknownError
from booking.domain.decision import Code, Rejected

STATUS: dict[str, tuple[int, str]] = {
    # what the request itself is wrong about
    "malformed": (400, "The request is malformed"),
    "not_found": (404, "Nothing is known by that name"),
    "method_not_allowed": (405, "The method is not allowed here"),
    "request_timeout": (408, "The request took too long to arrive"),
    "body_too_large": (413, "The body is too large"),
    "unsupported_media_type": (415, "The body has to be JSON"),
    "expectation_failed": (417, "The expectation cannot be met"),
    "rate_limited": (429, "Too many requests"),
    "upgrade_required": (426, "This address speaks websocket"),
    "too_many_sockets": (429, "Too many websockets of one user"),
    # tokens
    "token_missing": (401, "A queue token is needed"),
    "token_invalid": (401, "The queue token is not valid"),
    "token_expired": (401, "The queue token has ended"),
    "not_admitted": (403, "Still waiting in the queue"),
    # keys
    "idempotency_key_reused": (422, "The Idempotency-Key belongs to another request"),
    "idempotency_key_in_flight": (409, "The first request with this key is not finished"),
    # the domain
    Code.INSUFFICIENT_BALANCE: (402, "The balance is too low"),
    Code.BALANCE_LIMIT: (422, "The balance would be too high"),
    Code.SEAT_UNAVAILABLE: (409, "The seat is taken"),
    Code.BOOKING_CLOSED: (409, "The date cannot be booked now"),
    Code.HOLD_LIMIT_REACHED: (409, "Too many seats held at a time"),
    Code.HOLD_COOLING_DOWN: (429, "The seat rests from its last holder"),
    Code.HOLD_EXPIRED: (410, "The hold has ended"),
    Code.RESERVATION_NOT_FOUND: (404, "No such reservation"),
    Code.RESERVATION_ENDED: (409, "The reservation has ended"),
    Code.ALREADY_PAID: (409, "The seat is already paid"),
    Code.PAYMENT_IN_PROGRESS: (409, "A payment for the seat is under way"),
    Code.ALREADY_QUEUED: (409, "Already in the queue"),
    Code.NOT_QUEUED: (404, "Not in the queue"),
    Code.QUEUE_FULL: (503, "The queue is full"),
    # operators
    "admin_disabled": (403, "There is no operators' side here"),
    "admin_token_missing": (401, "The operators' token is needed"),
    "admin_token_invalid": (401, "This is not the operators' token"),
    "too_many_attempts": (429, "Too many wrong tokens"),
    "unknown_shard": (404, "There is no such shard"),
    "unknown_instance": (404, "There is no such instance"),
    "unknown_plan": (404, "There is no such plan"),
    "no_rebalance": (404, "No plan was begun"),
    "plan_stale": (409, "The cluster has changed since the plan was made"),
    "shard_frozen": (409, "The shard is frozen"),
    "conflict": (409, "It does not fit the state of the cluster"),
    "audit_running": (409, "An audit is running"),
    "catalogue_conflict": (409, "The catalogue cannot be changed like this"),
    "catalogue_invalid": (422, "The document is not a valid catalogue"),
    "queue_rules_invalid": (422, "The queue's rules contradict each other"),
    # the service
    "internal_error": (500, "Something broke on our side"),
    "not_ready": (503, "The instance is not ready"),
    "unavailable": (503, "Not available now"),
    "overloaded": (503, "Too much to do"),
    "moved": (503, "The data is being moved"),
    "stale": (503, "What is known here is too old"),
    "journal_unavailable": (503, "The journal is out of reach"),
    "outcome_unknown": (503, "The outcome is not known"),
    "deadline_exceeded": (503, "It took too long"),
    "stopping": (503, "The instance is stopping"),
    "too_many_connections": (503, "Too many connections"),
}
"""Code to HTTP status and title. The words of one occurrence come with it."""

UNAVAILABLE_CODES = (
    "unavailable",
    "overloaded",
    "moved",
    "stale",
    "journal_unavailable",
    "outcome_unknown",
    "deadline_exceeded",
    "stopping",
)

_TOKEN_WORDS = {
    "token_missing": "Send the token of POST /queue/issue in the queue-token header.",
    "token_invalid": "The queue token is not one of ours, or was damaged.",
    "token_expired": "The queue token has expired, was used up or was given back. Line up again.",
}
NOT_FOUND_WORDS = "It does not exist, or is not yours."
"""The same words for both, so that nobody learns which ids exist."""
_RETRY_QUEUE_FULL_S = 30
"""A full queue empties at the pace of admissions, so there is no point in asking every second."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a problem document needs besides the request it answers."""

    code: str
    detail: str
    headers: dict[str, str] = field(default_factory=dict)
    extensions: dict[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> int:
        return STATUS[self.code][0]

    @property
    def title(self) -> str:
        return STATUS[self.code][1]


class RefusedError(Exception):
    """The request is refused by the edge itself. Not an accident: never logged as one."""

    def __init__(
        self,
        code: str,
        detail: str,
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
            return Refusal(error.code, _TOKEN_WORDS[error.code], challenge)
        case NotAdmittedError():
            return _not_admitted(error.standing)
        case UnknownError():
            return Refusal("not_found", NOT_FOUND_WORDS)
        case errors.KeyReusedError():
            return Refusal(
                "idempotency_key_reused",
                "This Idempotency-Key was used before with another body.",
            )
        case errors.KeyInFlightError():
            return Refusal(
                "idempotency_key_in_flight",
                "The first request with this Idempotency-Key is still being worked on.",
                {"Retry-After": "1"},
            )
        case errors.UnavailableError():
            code = error.reason if error.reason in UNAVAILABLE_CODES else "unavailable"
            return Refusal(code, _UNAVAILABLE_WORDS[code], retry_after(error.retry_after_s))
        case _:
            return Refusal("internal_error", "The request could not be completed.")


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


_NOTHING_DONE = "Nothing was done; try again."
_ASK_AGAIN = "Repeat it with the same Idempotency-Key to learn what happened."
_UNAVAILABLE_WORDS = {
    "unavailable": _ASK_AGAIN,
    "overloaded": _NOTHING_DONE,
    "moved": _NOTHING_DONE,
    "stale": _NOTHING_DONE,
    "journal_unavailable": _NOTHING_DONE,
    "outcome_unknown": _ASK_AGAIN,
    "deadline_exceeded": _ASK_AGAIN,
    "stopping": _NOTHING_DONE,
}
