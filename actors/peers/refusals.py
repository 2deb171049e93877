"""Errors of an ask on their way between instances: the same error comes out that went in."""

from __future__ import annotations

from actors.errors import (
    DeadlineExceededError,
    EntityCrashedError,
    JournalUnavailableError,
    KeyInFlightError,
    KeyReusedError,
    NotOwnedError,
    OutcomeUnknownError,
    OverloadedError,
    StoppingError,
    UnavailableError,
)
from actors.peers.frames import Refused

DETAIL_MAX = 200
"""Characters of an error's words that travel; ours are one short sentence."""


class MovedError(NotOwnedError):
    """The asked instance does not own the slot; it believes that ``owner`` does, since ``epoch``.
    Both are empty if it does not know. Nothing was done."""

    def __init__(
        self, detail: str = "", retry_after_s: float = 1.0, owner: str = "", epoch: int = 0
    ) -> None:
        super().__init__(detail, retry_after_s)
        self.owner = owner
        self.epoch = epoch


_UNAVAILABLE: dict[str, type[UnavailableError]] = {
    error.reason: error
    for error in (
        UnavailableError,
        OverloadedError,
        JournalUnavailableError,
        OutcomeUnknownError,
        DeadlineExceededError,
        StoppingError,
    )
}
_FINAL: dict[str, type[Exception]] = {
    "entity_crashed": EntityCrashedError,
    "key_reused": KeyReusedError,
    "key_in_flight": KeyInFlightError,
}
_CODES = {error: code for code, error in _FINAL.items()}


def refused(number: int, error: Exception, owner: str = "", epoch: int = 0) -> Refused | None:
    """The message for this error, or ``None`` if it is none that an ask may raise."""
    detail = str(error)[:DETAIL_MAX]
    if isinstance(error, MovedError):
        owner, epoch = owner or error.owner, epoch or error.epoch
    if isinstance(error, UnavailableError):
        return Refused(number, error.reason, detail, error.retry_after_s, owner, epoch)
    code = _CODES.get(type(error))
    return None if code is None else Refused(number, code, detail)


def error_of(message: Refused) -> Exception:
    """The error that this message stands for. A code of a newer version may mean anything, so its
    outcome is unknown."""
    if message.code == NotOwnedError.reason:
        return MovedError(message.detail, message.retry_after_s, message.owner, message.epoch)
    unavailable = _UNAVAILABLE.get(message.code)
    if unavailable is not None:
        return unavailable(message.detail, message.retry_after_s)
    final = _FINAL.get(message.code)
    if final is not None:
        return final(message.detail)
    return OutcomeUnknownError(f"refused for an unknown reason: {message.code[:DETAIL_MAX]}")
