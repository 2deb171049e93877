"""What may be asked of a waiting queue, and what it answers."""

from __future__ import annotations

import msgspec

from booking.domain.decision import Rejected
from booking.queue.domain.events import Mode, Policy
from booking.queue.domain.line import Place

# -- commands --------------------------------------------------------------------------------------


class Join(msgspec.Struct, frozen=True, tag=True, gc=False):
    """Line up. ``attempt`` names the try: repeated, it answers the same place instead of
    ``already_queued`` (empty: never the same)."""

    user: str
    attempt: str = ""


class Leave(msgspec.Struct, frozen=True, tag=True):
    """Give up the place or the active slot."""

    user: str
    number: int


class UseToken(msgspec.Struct, frozen=True, tag=True):
    """The user has paid: the active slot ends. Idempotent."""

    user: str
    number: int


class GetPlace(msgspec.Struct, frozen=True, tag="Look"):
    """Ask where a number stands, for instances that only have a view."""

    user: str
    number: int


class Admit(msgspec.Struct, frozen=True, tag=True):
    """Time has passed: end what is over, admit who may come in."""


class DropSilent(msgspec.Struct, frozen=True, tag=True):
    """These numbers have given no sign for too long. Those that have ended already are passed
    over."""

    numbers: tuple[int, ...]


class DrawPlaces(msgspec.Struct, frozen=True, tag=True):
    """Make the draw of the opening that is due. Without one it does nothing: a draw is made once.
    ``seed`` has to be something that nobody could know or choose before the opening."""

    seed: str


class ChangePolicy(msgspec.Struct, frozen=True, tag=True):
    """Change rules; ``None`` leaves one as it is. The fields are those of :class:`Policy`."""

    who: str
    mode: Mode | None = None
    max_active: int | None = None
    admit_per_interval: int | None = None
    interval_ms: int | None = None
    active_ms: int | None = None
    max_waiting: int | None = None
    opens_ms: int | None = None


QueueCommand = Join | Leave | UseToken | GetPlace | Admit | DropSilent | DrawPlaces | ChangePolicy

# -- replies ---------------------------------------------------------------------------------------


class TokenEnded(msgspec.Struct, frozen=True, tag=True):
    """The number has ended, now or earlier."""

    number: int


class AdmissionsDone(msgspec.Struct, frozen=True, tag=True):
    """Nothing to say."""


class RulesSet(msgspec.Struct, frozen=True, tag=True):
    """These rules are in force."""

    policy: Policy


class RulesRefused(msgspec.Struct, frozen=True, tag=True):
    """The rules would contradict each other; nothing has changed. ``detail`` is for the
    operator."""

    detail: str


QueueReply = Place | TokenEnded | AdmissionsDone | RulesSet | RulesRefused | Rejected
