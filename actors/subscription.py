"""The seam for everybody who follows what became true: views, other instances, consumers of events.

Subscriptions are called on the event loop, in order within a shard, with what the journal has
accepted. What one raises is a broken invariant and ends the runtime.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, ClassVar

from actors.address import Address
from actors.journal.contract import Row


@dataclass(slots=True, eq=False)
class Change:
    """Events of one entity that are in the journal."""

    address: Address
    state: Any
    """The state after the events; ``None`` if an instance that did not decide them keeps none."""
    epoch: int = 0
    """The epoch of the shard that decided them; 0 if another instance did."""
    seq: int = 0
    """The seq of the last event."""
    events: list[Any] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    """The events as they are journalled; empty if another instance decided them."""


class Subscription:
    """Follows what became true. Override what you want to know; the rest is ignored."""

    kinds_loaded: ClassVar[Collection[str] | None] = None
    """The kinds of entity that :meth:`loaded` is told of; ``None``: all."""

    def loaded(self, address: Address, state: Any, seq: int, epoch: int) -> None:
        """The entity was read from the journal, up to and including ``seq``: ``state`` is all that
        is known of it so far. ``epoch`` is 0 if another instance owns it."""

    def committed(self, change: Change) -> None:
        """These events are in the journal. Each is told once, and none of the shard after
        :meth:`lost`: its next owner may have told newer ones."""

    def lost(self, shard: int) -> None:
        """Another instance owns this shard now: what is known of it grows stale."""

    def past_lost(self, shard: int) -> None:
        """The journal no longer has some of what was told of this shard: it has to be read anew."""

    def stood_still(self) -> None:
        """This process did nothing for a while, so what it hears next may be old."""
