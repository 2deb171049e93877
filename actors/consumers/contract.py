"""What a consumer of events is, and how it is kept how far each one has come.

A consumer is a function. It is called with events that are in the journal, in order for each shard,
by the instance that owns the shard. How far it has come is written in the transaction that the
function is given: what it writes with that happens exactly once, all else at least once.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol

import msgspec

from actors.address import Address

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
BATCH_MAX = 500
"""Events of one call: some 5 ms of the event loop to read and decode them, in pieces."""
LIMIT_S = 5.0
"""Of one call: its transaction holds nothing up for longer, whatever becomes of its instance."""


class Event(msgspec.Struct, frozen=True):
    """One event in the journal. ``(shard, seq)`` names it for ever; seq is gapless in a shard."""

    shard: int
    seq: int
    address: Address
    at_ms: int
    """When it was decided."""
    type: str
    data: Any
    """The event itself, as the entity's behaviour decodes it."""
    command: bytes | None = None
    """Names the keyed command that led to it, if one did."""


Handle = Callable[[Sequence[Event], Any], Awaitable[None]]
"""Takes events of one or more shards, and the open connection whose transaction also writes how far
the consumer is then. It raises :class:`OSError` for what passes by itself, and is called again."""


class Consumer(msgspec.Struct, frozen=True, kw_only=True):
    """Who follows the journal. The name is for ever: under it the place in each shard is kept."""

    name: str
    handle: Handle
    dsn: str = ""
    """The PostgreSQL database of its effects and offsets; empty: the service's first one."""
    tables: str = ""
    """SQL that makes the tables of its effects if they are not there. Run when an instance first
    needs them, by one at a time."""
    kinds: Collection[str] = ()
    """The kinds of entities whose events it is given; none: all."""
    start: Literal["beginning", "end"] = "beginning"
    """Of the journal: where one begins that was never seen before."""
    batch_max: int = BATCH_MAX
    limit_s: float = LIMIT_S

    def __post_init__(self) -> None:
        """Refuse a name that does not fit into a path or a label."""
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"a consumer's name is letters, digits, dots, dashes: {self.name!r}")


class Skip(msgspec.Struct, frozen=True):
    """An event that an operator left out."""

    seq: int
    trouble: str
    reason: str
    who: str


class Offset(msgspec.Struct, frozen=True):
    """How far a consumer is in one shard."""

    shard: int
    seq: int = 0
    """The last event that is done; 0 before the first."""
    epoch: int = 0
    """Of that event, to know it again: a journal that has another one there lost its past. 0 if not
    known."""
    paused: bool = False
    """By an operator."""
    trouble: str = ""
    """Why it stopped by itself; empty: it did not."""
    poison_seq: int = 0
    """The event that it cannot take, if that is why."""
    skipped: list[Skip] = []

    @property
    def halted(self) -> bool:
        """Whether it goes no further until an operator says so."""
        return self.paused or bool(self.trouble)


class Step(msgspec.Struct, frozen=True):
    """From the offset of one shard to the next one."""

    before: int
    seq: int
    epoch: int
    """Of the event at ``seq``."""


class Offsets(Protocol):
    """How far one consumer is. Every method may raise
    :class:`~actors.journal.contract.JournalError`."""

    async def open(self, begin: Mapping[int, int]) -> list[Offset]:
        """Those of these shards, where one that was never opened begins at the seq given."""

    def moving(
        self, steps: Mapping[int, Step]
    ) -> AbstractAsyncContextManager[tuple[Collection[int], Any]]:
        """A transaction that takes these steps when it is left well, and none otherwise. Gives the
        shards whose offset is still as the step has it and is not halted, and its connection. No
        other transaction moves these until it ends."""

    async def stop(self, shard: int, seq: int, trouble: str, poison_seq: int = 0) -> None:
        """Halt a shard whose offset is still this one."""

    async def all(self) -> list[Offset]:
        """Of every shard that was opened."""

    async def pause(self, paused: bool) -> None:
        """Halt all shards, or go on: also those that stopped by themselves try it again."""

    async def skip(self, shard: int, reason: str, who: str) -> Offset | None:
        """Go on after the event that a shard stopped at; ``None`` if it did not."""

    async def rewind(self, seq: int, shards: Collection[int]) -> list[Offset]:
        """Go back to this seq in those of these shards that are past it, and go on from there."""

    async def close(self) -> None:
        """Close every connection."""
