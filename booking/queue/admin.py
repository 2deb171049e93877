"""Between what operators see of a queue and what the queue knows."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec.structs import asdict

from booking.queue.domain.events import Policy
from booking.queue.domain.queue import ChangePolicy
from booking.queue.view import QueueView

_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class QueueReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A queue for its operators: the rules in force, and how it is doing."""

    queue: str
    mode: Literal["open", "paused", "queue_all"]
    """``open``: who has room comes in at once; ``paused``: nobody comes in; ``queue_all``:
    everybody lines up, and comes in at the rate, also when there is room."""
    max_active: int
    """How many may be inside at once; 0 for no such limit."""
    admit_per_interval: int
    """How many may come in per interval, released evenly; 0 for no such limit."""
    interval_s: int
    active_s: int
    max_waiting: int
    opens_at: str | None
    """RFC 3339: who comes before it waits for a draw; ``None`` without a scheduled opening."""
    seed: str | None
    """The draw's seed, once it was made."""
    waiting: int
    active: int
    last_number: int
    watermark: int
    admitted_last_minute: int
    left_last_minute: int


class QueueChange(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What an operator wants different; a field left out stays as it is."""

    mode: Literal["open", "paused", "queue_all"] | msgspec.UnsetType = msgspec.UNSET
    max_active: int | msgspec.UnsetType = msgspec.UNSET
    admit_per_interval: int | msgspec.UnsetType = msgspec.UNSET
    interval_s: int | msgspec.UnsetType = msgspec.UNSET
    active_s: int | msgspec.UnsetType = msgspec.UNSET
    max_waiting: int | msgspec.UnsetType = msgspec.UNSET
    opens_at: str | msgspec.UnsetType | None = msgspec.UNSET


def report_of(view: QueueView, policy: Policy) -> QueueReport:
    """How the queue is doing, with the rules in force."""
    return QueueReport(
        queue=view.name,
        mode=policy.mode,
        max_active=policy.max_active,
        admit_per_interval=policy.admit_per_interval,
        interval_s=policy.interval_ms // 1000,
        active_s=policy.active_ms // 1000,
        max_waiting=policy.max_waiting,
        opens_at=_text(policy.opens_ms) if policy.opens_ms else None,
        seed=view.last_draw.seed if view.last_draw else None,
        waiting=view.waiting,
        active=view.active,
        last_number=view.last_number,
        watermark=view.watermark,
        admitted_last_minute=view.admitted_last_minute,
        left_last_minute=view.left_last_minute,
    )


def command_of(change: QueueChange, who: str) -> ChangePolicy:
    """The command that makes the change; :class:`ValueError` with words for the operator."""
    given: dict[str, Any] = {
        name: value for name, value in asdict(change).items() if value is not msgspec.UNSET
    }
    for name in ("interval", "active"):
        if f"{name}_s" in given:
            given[f"{name}_ms"] = given.pop(f"{name}_s") * 1000
    if "opens_at" in given:
        text = given.pop("opens_at")
        given["opens_ms"] = 0 if text is None else _ms(text)
    return ChangePolicy(who, **given)


def _ms(text: str) -> int:
    try:
        moment = msgspec.convert(text, _Moment)
    except msgspec.ValidationError:
        raise ValueError(f"opensAt has to be a time with its offset, not {text!r}") from None
    return (moment - _EPOCH) // (_EPOCH.resolution * 1000)


def _text(ms: int) -> str:
    moment = datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
