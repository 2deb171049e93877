"""What a broken invariant of a behaviour costs: its caller the answer, the entities concerned their
place in memory, and a shard that crashes in a loop a rest. Nobody else notices."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from actors.address import Address
from actors.behaviour import TIMER_FIRED
from actors.core.activation import ABSENT, Activation
from actors.core.context import ShardContext
from actors.core.envelope import Envelope
from actors.core.supervision import where
from actors.errors import EntityCrashedError

if TYPE_CHECKING:
    from actors.core.shard import Shard

log = logging.getLogger(__name__)


class Crashes:
    """Deals with those of one shard. Logs name the place of an error, never its message."""

    __slots__ = ("_context", "_shard")

    def __init__(self, shard: Shard, context: ShardContext) -> None:
        self._shard = shard
        self._context = context

    def in_turn(
        self,
        activation: Activation,
        others: Mapping[Address, Activation],
        envelope: Envelope,
        error: Exception,
    ) -> None:
        """Of a decision: tell the caller, and forget the entities concerned once what they
        submitted is committed."""
        kind = type(envelope.command).__name__
        log.error(
            "%s crashed on %s: %s", activation.address.text, kind, where(error), extra=self._place
        )
        self._fail(activation, envelope)
        for concerned in (activation, *others.values()):
            concerned.loaded = False
            concerned.crashed = True
            if not concerned.uncommitted:
                self.reload(concerned)
        self._count()

    def in_load(self, activation: Activation, error: Exception) -> None:
        """The entity's events could not be read: nobody who needs it can be served."""
        shard = self._shard
        log.error(
            "%s cannot be loaded: %s", activation.address.text, where(error), extra=self._place
        )
        activation.loading = False
        while activation.size:
            self._fail(activation, shard.take(activation))
        watchers, activation.watchers = activation.watchers, None
        for watcher in watchers or ():
            if watcher.waits and watcher.size:
                self._fail(watcher, shard.take(watcher))
            shard.rouse(watcher)
        for saga in [saga for saga in shard.sagas.values() if saga.activation is activation]:
            self._context.sagas.end(saga)
            self._retry_later(activation.address)
        shard.drop(activation)
        self._count()

    def in_reply(self, activation: Activation, envelope: Envelope, error: Exception) -> None:
        """A stored reply could not be read: its caller cannot be told what was done."""
        text = activation.address.text
        log.error("%s cannot read a stored reply: %s", text, where(error), extra=self._place)
        envelope.refuse(EntityCrashedError(text))
        self._count()

    def reload(self, activation: Activation) -> None:
        """Have a crashed entity as the journal has it, as soon as somebody needs it."""
        activation.crashed = False
        activation.state = activation.committed = ABSENT
        if activation.needed:
            self._shard.want(activation)
        else:
            self._shard.drop(activation)

    @property
    def _place(self) -> dict[str, int]:
        """For log lines."""
        return {"shard": self._shard.number, "epoch": self._shard.epoch}

    def _fail(self, activation: Activation, envelope: Envelope) -> None:
        self._shard.keys.release(envelope)
        envelope.refuse(EntityCrashedError(activation.address.text))
        if envelope.command is TIMER_FIRED:
            self._retry_later(activation.address)

    def _retry_later(self, address: Address) -> None:
        """Wake the entity again when it may have been forgiven."""
        shard = self._shard
        shard.arm(address, shard.now_ms() + int(self._context.limits.crash_retry_s * 1000))

    def _count(self) -> None:
        number = self._shard.number
        self._context.counters.crashes += 1
        if self._context.crashes.crashed(number, self._context.clock.monotonic()):
            log.error("shard %d crashes in a loop: fenced for a while", number, extra=self._place)
            self._context.keeper.fence(self._shard)
