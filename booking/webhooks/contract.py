"""Endpoints, what is to be delivered to them, and when it is tried again."""

from __future__ import annotations

import secrets
from base64 import b64decode, b64encode
from typing import Literal

import msgspec

ENDPOINTS_MAX = 100
"""Each may have some requests under way at any time."""
SECRET_BYTES = 32
SECRET_BYTES_MIN, SECRET_BYTES_MAX = 24, 64
"""As Standard Webhooks has it."""
PREFIX = "whsec_"

DELAYS_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400)
"""Before each further attempt, as Standard Webhooks proposes: the last is made after 31.6 hours."""
JITTER = 0.2
"""Of a delay: so much of it is drawn."""
RETRY_AFTER_MAX_S = 86_400

State = Literal["pending", "delivered", "dead"]


class WebhookError(Exception):
    """Operators asked for what cannot be; nothing was done. ``str()`` is for them."""


class UnknownWebhookError(LookupError):
    """There is no endpoint of this id."""


class WebhookView(msgspec.Struct, frozen=True, rename="camel"):
    """An endpoint and how it is doing."""

    id: str
    url: str
    about: str
    types: list[str]
    """Of the events it is told of; none: all."""
    enabled: bool
    trouble: str
    """What it answered last, if that was no success."""
    failing_since_ms: int | None
    created_at_ms: int
    pending: int
    dead: int
    oldest_pending_s: float
    """For how long the oldest event has been waiting for it."""


class DeliveryView(msgspec.Struct, frozen=True, rename="camel"):
    """One event for one endpoint."""

    event: str
    type: str
    state: State
    attempts: int
    status: int
    """The last HTTP status; 0 for no answer."""
    trouble: str
    made_at_ms: int
    due_at_ms: int | None
    """The next attempt."""
    ended_at_ms: int | None


class Posting(msgspec.Struct, frozen=True):
    """One attempt to be made."""

    endpoint: str
    event: str
    body: str
    attempts: int
    """This one included."""
    url: str
    secret: str
    old_secret: str
    """Empty if it is over."""


class AttemptResult(msgspec.Struct, frozen=True, rename="camel"):
    """What came of an attempt."""

    status: int
    """0: no answer."""
    trouble: str = ""
    """Empty if it was a success."""
    retry_after_s: float = 0.0
    took_ms: int = 0

    @property
    def gone(self) -> bool:
        """Whether the receiver wants nothing more, ever."""
        return self.status == 410


def next_delay_s(attempts: int, answered: AttemptResult, draw: float) -> float | None:
    """How long after so many attempts, all in vain, the next one is made; ``None``: never. ``draw``
    is from 0 to 1."""
    if answered.gone or attempts > len(DELAYS_S):
        return None
    delay_s = DELAYS_S[attempts - 1] * (1 + JITTER * (draw - 0.5))
    return max(delay_s, min(answered.retry_after_s, RETRY_AFTER_MAX_S))


def secret_of(given: str | None) -> str:
    """A given secret, checked, or a new one. Raises :class:`WebhookError`."""
    if given is None:
        return PREFIX + b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
    try:
        size = len(b64decode(given.removeprefix(PREFIX), validate=True))
    except ValueError:
        size = 0
    if not given.startswith(PREFIX) or not SECRET_BYTES_MIN <= size <= SECRET_BYTES_MAX:
        raise WebhookError(
            f"secret: is {PREFIX} and the base64 of {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes"
        )
    return given
