"""What a broken invariant of a behaviour costs: its caller the answer, the entities concerned their
place in memory, and a shard that crashes in a loop a rest. Nobody else notices."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from actors.address import Address
from actors.behaviour import WAKE
from actors.cell import ABSENT, Cell
from actors.envelope import Envelope
from actors.errors import EntityCrashedError
from actors.room import Room
from actors.supervision import where

if TYPE_CHECKING:
    from actors.shard import Shard

log = logging.getLogger(__name__)


class Crashes:
    """Deals with those of one shard. Logs name the place of an error, never its message."""

    __slots__ = ("_room", "_shard")

    def __init__(self, shard: Shard, room: Room) -> None:
        self._shard = shard
        self._room = room

    def in_turn(
        self, cell: Cell, others: Mapping[Address, Cell], envelope: Envelope, error: Exception
    ) -> None:
        """Of a decision: tell the caller, and forget the entities concerned once what they
        submitted is committed."""
        kind = type(envelope.command).__name__
        log.error("%s crashed on %s: %s", cell.address.text, kind, where(error), extra=self._place)
        self._fail(cell, envelope)
        for concerned in (cell, *others.values()):
            concerned.loaded = False
            concerned.crashed = True
            if not concerned.uncommitted:
                self.reload(concerned)
        self._count()

    def in_load(self, cell: Cell, error: Exception) -> None:
        """The entity's events could not be read: nobody who needs it can be served."""
        shard = self._shard
        log.error("%s cannot be loaded: %s", cell.address.text, where(error), extra=self._place)
        cell.loading = False
        while cell.size:
            self._fail(cell, shard.take(cell))
        watchers, cell.watchers = cell.watchers, None
        for watcher in watchers or ():
            if watcher.waits and watcher.size:
                self._fail(watcher, shard.take(watcher))
            shard.rouse(watcher)
        for saga in [saga for saga in shard.sagas.values() if saga.cell is cell]:
            self._room.sagas.end(saga)
            self._retry_later(cell.address)
        shard.drop(cell)
        self._count()

    def in_reply(self, cell: Cell, envelope: Envelope, error: Exception) -> None:
        """A stored reply could not be read: its caller cannot be told what was done."""
        text = cell.address.text
        log.error("%s cannot read a stored reply: %s", text, where(error), extra=self._place)
        envelope.refuse(EntityCrashedError(text))
        self._count()

    def reload(self, cell: Cell) -> None:
        """Have a crashed entity as the journal has it, as soon as somebody needs it."""
        cell.crashed = False
        cell.state = cell.committed = ABSENT
        if cell.needed:
            self._shard.want(cell)
        else:
            self._shard.drop(cell)

    @property
    def _place(self) -> dict[str, int]:
        """For log lines."""
        return {"shard": self._shard.number, "epoch": self._shard.epoch}

    def _fail(self, cell: Cell, envelope: Envelope) -> None:
        self._shard.keys.release(envelope)
        envelope.refuse(EntityCrashedError(cell.address.text))
        if envelope.command is WAKE:
            self._retry_later(cell.address)

    def _retry_later(self, address: Address) -> None:
        """Wake the entity again when it may have been forgiven."""
        shard = self._shard
        shard.arm(address, shard.now_ms() + int(self._room.limits.crash_retry_s * 1000))

    def _count(self) -> None:
        number = self._shard.number
        self._room.counters.crashes += 1
        if self._room.crashes.crashed(number, self._room.clock.monotonic()):
            log.error("shard %d crashes in a loop: fenced for a while", number, extra=self._place)
            self._room.keeper.fence(self._shard)
