"""What has happened to a waiting queue: the words of its journal."""

from typing import Literal

import msgspec

Mode = Literal["open", "paused", "queue_all"]
"""``open``: who finds room comes in at once; ``paused``: nobody comes in; ``queue_all``: everybody
lines up and comes in at the rate, also when there is room."""

SETTINGS = "settings"
"""Who made the rules as long as no operator has."""


class Policy(msgspec.Struct, frozen=True, gc=False):
    """The rules of a queue. The strategies are alone or together: the smaller wins."""

    max_active: int
    """How many may be inside at once; 0 for no such limit."""
    admit_per_interval: int
    """How many may come in during any sliding interval, released evenly; 0 for no such limit."""
    active_ms: int
    """How long one may stay inside."""
    max_waiting: int = 1_000_000
    interval_ms: int = 60_000
    mode: Mode = "open"
    opens_ms: int = 0
    """Nobody comes in before. Who comes before waits for a draw; 0 without a scheduled opening."""


class Joined(msgspec.Struct, frozen=True, tag=True, gc=False):
    """A user got the next number and waits."""

    user: str
    number: int
    at_ms: int
    attempt: str = ""


class Admitted(msgspec.Struct, frozen=True, tag=True, gc=False):
    """Places from ``first`` through ``last`` that have not been given up came in together:
    ``count`` of them, until ``until_ms``. A place is the number, but for those who were drawn."""

    first: int
    last: int
    count: int
    at_ms: int
    until_ms: int
    rate: int = 0
    """``admit_per_interval`` in force; 0 for none."""
    paced_us: int = 0
    """With a rate: the ideal time of the next admission, in microseconds since the epoch."""


class Entered(msgspec.Struct, frozen=True, tag=True, gc=False):
    """Lined up when there was room and nobody waited, and so came in at once: :class:`Joined` and
    :class:`Admitted` in one, which is half of what a journal has to take while a queue is open."""

    user: str
    number: int
    at_ms: int
    until_ms: int
    attempt: str = ""
    rate: int = 0
    paced_us: int = 0

    @property
    def admitted(self) -> Admitted:
        """Its second half, as for one who was admitted alone."""
        number, at_ms = self.number, self.at_ms
        return Admitted(number, number, 1, at_ms, self.until_ms, self.rate, self.paced_us)


class Left(msgspec.Struct, frozen=True, tag=True, gc=False):
    """A place or an active slot was given up."""

    user: str
    number: int


class WentSilent(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The users of these numbers gave no sign for too long: their places or slots have ended."""

    numbers: tuple[int, ...]
    at_ms: int


class TokenUsed(msgspec.Struct, frozen=True, tag=True, gc=False):
    """An active slot ended with a payment."""

    user: str
    number: int


class TokensExpired(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The active time of these numbers was over."""

    numbers: tuple[int, ...]


class PolicyChanged(msgspec.Struct, frozen=True, gc=False, tag=True):
    """These rules are in force from now on."""

    policy: Policy
    who: str
    """The operator, or :data:`SETTINGS`."""
    at_ms: int


class Drawn(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The opening: numbers ``first`` to ``last`` came before it, and have the places that
    :mod:`booking.queue.domain.lots` draws with ``seed``. ``last < first`` if nobody came before."""

    seed: str
    first: int
    last: int
    at_ms: int


QueueEvent = (
    Joined
    | Admitted
    | Entered
    | Left
    | WentSilent
    | TokenUsed
    | TokensExpired
    | PolicyChanged
    | Drawn
)
