"""What can go wrong: an exception for each ``code``; :class:`Refused` for those not known here."""

# ruff: noqa: N818  -- they are named as the service names them, and read well after `except`

import re
from typing import ClassVar

from booking_client.answers import Problem


class BookingError(Exception):
    """Everything this client raises on purpose."""


class Unreachable(BookingError):
    """No answer of the service came within all attempts. Whether a POST took effect is not known;
    repeat the call with the same ``key`` to learn it."""


class Refused(BookingError):
    """The service refused the call. ``problem`` is its whole answer."""

    codes: ClassVar[tuple[str, ...]] = ()
    """The codes of this kind; by default the one that the class is named after."""

    def __init_subclass__(cls) -> None:
        if not cls.codes:
            cls.codes = (re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower(),)

    def __init__(self, problem: Problem, retry_after_s: float | None = None) -> None:
        super().__init__(f"{problem.code} ({problem.status}): {problem.detail}")
        self.problem = problem
        self.retry_after_s = retry_after_s
        """Seconds until the service wants to be asked again, if it says so."""

    @property
    def code(self) -> str:
        """The stable word of the problem document."""
        return self.problem.code

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    @property
    def request_id(self) -> str:
        """The id of the request in the service's logs."""
        return self.problem.request_id


class Malformed(Refused):
    """The request itself is wrong. The calling program has an error."""

    codes = (
        "malformed",
        "method_not_allowed",
        "body_too_large",
        "unsupported_media_type",
        "expectation_failed",
        "upgrade_required",
        "idempotency_key_reused",
    )


class NotFound(Refused):
    """It does not exist, or is somebody else's."""

    codes = ("not_found", "reservation_not_found", "not_queued")


class TokenMissing(Refused):
    """The call needs a queue token."""


class TokenInvalid(Refused):
    """The token is not one of the service, or was damaged."""


class TokenExpired(Refused):
    """The token has expired, was used up by a payment, or was given back. Line up again."""


class NotAdmitted(Refused):
    """The token still waits; ``problem`` has the place."""


class AlreadyQueued(Refused):
    """The user has a place already, and keeps it."""


class QueueFull(Refused):
    """The queue takes nobody more; with the same key the answer stays this one."""


class SeatUnavailable(Refused):
    """Somebody else holds the seat or has bought it."""


class BookingClosed(Refused):
    """The date cannot be booked now."""


class HoldLimitReached(Refused):
    """The user holds as many seats of the date as one may."""


class PurchaseLimitReached(Refused):
    """The user would hold and own more seats of the date than one may."""


class NoMatch(Refused):
    """No seats that are left are as wished."""


class HoldCoolingDown(Refused):
    """The user let this seat go a moment ago, so others come first for ``retry_after_s``."""


class HoldExpired(Refused):
    """The hold has ended, and others may take the seat."""


class ReservationEnded(Refused):
    """The reservation was given back or has expired."""


class AlreadyPaid(Refused):
    """The seat is the user's already."""


class PaymentInProgress(Refused):
    """A payment for the seat is under way; look at the reservation in a moment."""


class InsufficientBalance(Refused):
    """Charge the balance, then pay with a new key."""


class BalanceLimit(Refused):
    """The balance would be higher than an account may have."""


class RateLimited(Refused):
    """Too many requests of this user or address, or too many websockets."""

    codes = ("rate_limited", "too_many_sockets")


class Unavailable(Refused):
    """The service cannot answer now, also after all attempts."""

    codes = (
        "unavailable",
        "overloaded",
        "moved",
        "stale",
        "journal_unavailable",
        "past_lost",
        "outcome_unknown",
        "deadline_exceeded",
        "stopping",
        "not_ready",
        "too_many_connections",
        "request_timeout",
        "idempotency_key_in_flight",
    )


class ServiceFault(Refused):
    """A fault of the service. Its ``request_id`` is in the service's log."""

    codes = ("internal_error",)


BY_CODE: dict[str, type[Refused]] = {
    code: kind for kind in Refused.__subclasses__() for code in kind.codes
}


def refusal(problem: Problem, retry_after_s: float | None = None) -> Refused:
    """The exception for a problem."""
    return BY_CODE.get(problem.code, Refused)(problem, retry_after_s)
