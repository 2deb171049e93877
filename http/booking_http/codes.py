"""Every code with which the service refuses a request, declared once and grouped by subject.

Problem documents, the OpenAPI document, the tables in ``docs/reference`` and both clients are made
from these rows or tested against them. The codes of the domain are the names in
:class:`booking.domain.decision.Code`; all others belong to the edge alone.
"""

from typing import NamedTuple

from booking.domain.decision import Code


class CodeRow(NamedTuple):
    """What a code means to a client."""

    status: int
    """HTTP status."""
    title: str
    """The ``title`` of each problem document with this code."""
    meaning: str
    """What happened and what to do; the ``detail`` where an occurrence has no words of its own."""
    passes: bool = False
    """Whether a client should repeat the same request, with the same Idempotency-Key, by itself."""


PASSES = True
_NOTHING_DONE = "Nothing was done; try again."
_ASK_AGAIN = "Repeat it with the same Idempotency-Key to learn what happened."

UNAVAILABLE = {
    "unavailable": CodeRow(503, "Not available now", _ASK_AGAIN, PASSES),
    "overloaded": CodeRow(503, "Too much to do", _NOTHING_DONE, PASSES),
    "moved": CodeRow(503, "The data is being moved", _NOTHING_DONE, PASSES),
    "stale": CodeRow(503, "What is known here is too old", _NOTHING_DONE, PASSES),
    "journal_unavailable": CodeRow(503, "The journal is out of reach", _NOTHING_DONE, PASSES),
    "past_lost": CodeRow(
        503,
        "Data was lost",
        "Nothing was done. The database has lost what was"
        " acknowledged here; an operator has to decide how to go on.",
        PASSES,
    ),
    "outcome_unknown": CodeRow(503, "The outcome is not known", _ASK_AGAIN, PASSES),
    "deadline_exceeded": CodeRow(503, "It took too long", _ASK_AGAIN, PASSES),
    "stopping": CodeRow(503, "The instance is stopping", _NOTHING_DONE, PASSES),
}
"""The reasons of :class:`actors.errors.UnavailableError`; any call but those of ``system``."""

# fmt: off
OPERATORS = {
    "admin_disabled": CodeRow(403, "There is no operators' side here",
        "The service was started without BOOKING_ADMIN_TOKEN."),
    "admin_token_missing": CodeRow(401, "The operators' token is needed",
        "Send it as Authorization: Bearer."),
    "admin_token_invalid": CodeRow(401, "This is not the operators' token",
        "Ask whoever runs the service for it."),
    "too_many_attempts": CodeRow(429, "Too many wrong tokens",
        "Wait as Retry-After says before you send another one."),
    "unknown_shard": CodeRow(404, "There is no such shard", "A shard is named by its number."),
    "unknown_instance": CodeRow(404, "There is no such instance",
        "No live instance has this name."),
    "unknown_plan": CodeRow(404, "There is no such plan", "Ask for a new one with dryRun."),
    "no_rebalance": CodeRow(404, "No plan was begun", "Begin one with its planId."),
    "no_loss": CodeRow(404, "There is no such loss",
        "The shard has lost nothing, or it was accepted before."),
    "unknown_consumer": CodeRow(404, "There is no such consumer",
        "The settings of this instance do not name it."),
    "nothing_to_skip": CodeRow(409, "It did not stop at an event there",
        "Look at the consumers again."),
    "unknown_webhook": CodeRow(404, "There is no such webhook", "Look at the webhooks again."),
    "webhooks_off": CodeRow(404, "Webhooks are off",
        "Start the instances with BOOKING_WEBHOOKS=on."),
    "webhook_invalid": CodeRow(422, "The webhook cannot be like this", "Nothing was changed."),
    "plan_stale": CodeRow(409, "The cluster has changed since the plan was made",
        "Ask for a new plan."),
    "shard_frozen": CodeRow(409, "The shard is frozen", "Unfreeze it first."),
    "conflict": CodeRow(409, "It does not fit the state of the cluster",
        "Look at the cluster again."),
    "audit_running": CodeRow(409, "An audit is running",
        "Wait for its end; its verdict is yours too."),
    "catalogue_conflict": CodeRow(409, "The catalogue cannot be changed like this",
        "It does not fit the bookings there are; nothing was changed."),
    "catalogue_invalid": CodeRow(422, "The document is not a valid catalogue",
        "Nothing was changed; `errors` names each mistake."),
    "queue_rules_invalid": CodeRow(422, "The queue's rules contradict each other",
        "Nothing was changed."),
}
"""Only calls under ``/admin``."""

CODES: dict[str, CodeRow] = {
    # the request itself
    "malformed": CodeRow(400, "The request is malformed", "The detail names what is wrong."),
    "not_found": CodeRow(404, "Nothing is known by that name",
        "It does not exist, or is not yours."),
    "method_not_allowed": CodeRow(405, "The method is not allowed here",
        "`Allow` names those that are."),
    "request_timeout": CodeRow(408, "The request took too long to arrive",
        "Send it again on a new connection.", PASSES),
    "body_too_large": CodeRow(413, "The body is too large", "The detail names the limit."),
    "unsupported_media_type": CodeRow(415, "The body has to be JSON",
        "Send application/json in UTF-8, without a content coding."),
    "expectation_failed": CodeRow(417, "The expectation cannot be met",
        "Only 100-continue is understood."),
    "rate_limited": CodeRow(429, "Too many requests", "Wait as Retry-After says.", PASSES),
    "upgrade_required": CodeRow(426, "This address speaks websocket",
        "Open a websocket of version 13."),
    "too_many_sockets": CodeRow(429, "Too many websockets of one user", "Close one."),
    "idempotency_key_reused": CodeRow(422, "The Idempotency-Key belongs to another request",
        "This Idempotency-Key was used before with another body."),
    "idempotency_key_in_flight": CodeRow(409, "The first request with this key is not finished",
        "The first request with this Idempotency-Key is still being worked on.", PASSES),
    # tokens and the queue
    "token_missing": CodeRow(401, "A queue token is needed",
        "Send the token of POST /queue/issue in the queue-token header."),
    "token_invalid": CodeRow(401, "The queue token is not valid",
        "The queue token is not one of ours, or was damaged."),
    "token_expired": CodeRow(401, "The queue token has ended",
        "The queue token has expired, was used up or was given back. Line up again."),
    "not_admitted": CodeRow(403, "Still waiting in the queue",
        "Ask again as Retry-After says; the answer tells the place."),
    Code.ALREADY_QUEUED: CodeRow(409, "Already in the queue", "The user keeps the first place."),
    Code.NOT_QUEUED: CodeRow(404, "Not in the queue", "Line up first."),
    Code.QUEUE_FULL: CodeRow(503, "The queue is full",
        "Try later with a new Idempotency-Key: the outcome is stored under this one."),
    # seats and reservations
    Code.SEAT_UNAVAILABLE: CodeRow(409, "The seat is taken", "Choose another one."),
    Code.BOOKING_CLOSED: CodeRow(409, "The date cannot be booked now",
        "Its sale has not begun, or is over."),
    Code.HOLD_LIMIT_REACHED: CodeRow(409, "Too many seats held at a time",
        "Pay for a held seat or give one back."),
    Code.PURCHASE_LIMIT_REACHED: CodeRow(409, "Too many seats of one date",
        "A user may hold and own only so many."),
    Code.NO_MATCH: CodeRow(409, "No seats like that are left", "Wish for other ones, or fewer."),
    Code.HOLD_COOLING_DOWN: CodeRow(429, "The seat rests from its last holder",
        "Others come first for `retryAfterMs`; other seats may be held at once."),
    Code.HOLD_EXPIRED: CodeRow(410, "The hold has ended", "Others may take the seat now."),
    Code.RESERVATION_NOT_FOUND: CodeRow(404, "No such reservation",
        "The user has no reservation of this seat."),
    Code.RESERVATION_ENDED: CodeRow(409, "The reservation has ended",
        "It was given back or has expired."),
    # accounts and payments
    Code.INSUFFICIENT_BALANCE: CodeRow(402, "The balance is too low",
        "Charge it and pay with a new Idempotency-Key."),
    Code.BALANCE_LIMIT: CodeRow(422, "The balance would be too high", "Charge less."),
    Code.ALREADY_PAID: CodeRow(409, "The seat is already paid", "It is the user's for good."),
    Code.PAYMENT_IN_PROGRESS: CodeRow(409, "A payment for the seat is under way",
        "Look at the reservation in a moment."),
    **OPERATORS,
    # the service
    "internal_error": CodeRow(500, "Something broke on our side",
        "The request could not be completed."),
    "not_ready": CodeRow(503, "The instance is not ready",
        "Ask another one; the detail names what fails.", PASSES),
    "too_many_connections": CodeRow(503, "Too many connections",
        "There are too many connections; try again soon.", PASSES),
    **UNAVAILABLE,
}
"""Each code and its row."""
# fmt: on
