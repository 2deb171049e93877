"""Sagas: operations over several entities, carried forward by callbacks, without tasks.

A saga is a name in an entity's state. The driver asks the behaviour for the next step, sends it,
and comes back with the reply, until the entity says that the saga is settled. It only ever looks
at committed state, since a step leaves the shard. After a crash it starts from the first step.
"""

import asyncio
import logging
from contextlib import nullcontext
from functools import partial
from typing import Any, Protocol

from actors.address import Address
from actors.behaviour import Ask, CommandKey
from actors.core.context import ShardContext
from actors.core.envelope import Trace
from actors.core.shard import ABSENT, NOTHING_OWED, Activation, Saga
from actors.core.supervision import Backoff, where
from actors.errors import UnavailableError
from actors.transport import Answer

log = logging.getLogger(__name__)


class SendCommand(Protocol):
    """Sends the runtime's own commands, such as a saga's, to whoever owns the entity."""

    def __call__(
        self, address: Address, command: Any, key: CommandKey | None = None
    ) -> asyncio.Future[Answer]:
        """The answer, or what :meth:`actors.runtime.Runtime.ask` raises."""


UNTRACED: nullcontext[None] = nullcontext()


class Sagas:
    """Drives all sagas of an instance, one step of each at a time. Their number is bounded by the
    unfinished sagas in the entities' states."""

    def __init__(
        self, context: ShardContext, ask_anywhere: SendCommand, ask_here: SendCommand
    ) -> None:
        self._context = context
        self.ask_anywhere = ask_anywhere
        self._ask_here = ask_here

    def begin(
        self,
        activation: Activation,
        name: str,
        trace: Trace | None = None,
        *,
        follows: bool = False,
    ) -> None:
        """Drive this unfinished saga or follow-up of the entity, unless it runs already."""
        running = activation.shard.sagas
        if (activation.address, name) in running:
            return
        limits = self._context.limits
        backoff = Backoff(
            limits.saga_backoff_min_s, limits.saga_backoff_max_s, self._context.random.random
        )
        saga = Saga(activation, name, backoff, trace, follows)
        running[activation.address, name] = saga
        activation.pins += 1
        self._context.counters.sagas += 1
        self._drive(saga)

    def end(self, saga: Saga) -> None:
        """Drive the saga no longer: it is settled, or its shard is closed."""
        activation = saga.activation
        if activation.shard.sagas.pop((activation.address, saga.name), None) is None:
            return
        activation.pins -= 1
        self._context.counters.sagas -= 1
        if saga.handle is not None:
            saga.handle.cancel()
            saga.handle = None

    def _drive(self, saga: Saga) -> None:
        saga.handle = None
        activation = saga.activation
        if activation.shard.closed:
            return
        if activation.committed is ABSENT:  # It crashed, and is being loaded again.
            self._later(saga, saga.backoff.next_s())
            return
        behaviour = activation.behaviour
        try:
            step = None
            find = behaviour.follow_ups if saga.follows else behaviour.unfinished
            if saga.name in find(activation.committed):
                step = behaviour.step(activation.committed, saga.name, tuple(saga.answers))
        except Exception as error:  # noqa: BLE001 - a broken invariant of the behaviour
            log.error("%s crashed in saga %s: %s", activation.address.text, saga.name, where(error))
            self._context.counters.crashes += 1
            self._later(saga, self._context.limits.crash_retry_s)
            return
        if step is None:
            self.end(saga)
            if saga.follows:
                _done(activation, saga.name)
            return
        # Only the sending: what comes of it later is no part of the trace by itself.
        with UNTRACED if saga.trace is None else saga.trace.within():
            if isinstance(step, Ask):
                future = self.ask_anywhere(step.to, step.command)
            else:
                future = self._ask_here(activation.address, step.command)
        answered = self._answered if isinstance(step, Ask) else self._told
        future.add_done_callback(partial(answered, saga))

    def _answered(self, saga: Saga, future: asyncio.Future[Answer]) -> None:
        """Take a step's reply and go on, or try the same step again."""
        if self._failed(saga, future):
            return
        saga.backoff.reset()
        saga.answers.append(future.result().reply)
        self._drive(saga)

    def _told(self, saga: Saga, future: asyncio.Future[Answer]) -> None:
        """End a saga whose last step was committed; one that is not settled is broken."""
        if self._failed(saga, future) or saga.activation.shard.closed:
            return
        activation = saga.activation
        if saga.name in activation.behaviour.unfinished(activation.committed):
            text = activation.address.text
            log.error("%s: saga %s was told its end and goes on", text, saga.name)
            saga.answers.clear()
            self._later(saga, self._context.limits.crash_retry_s)
        else:
            self.end(saga)

    def _failed(self, saga: Saga, future: asyncio.Future[Answer]) -> bool:
        """Whether there is no reply; if so the step is tried again later."""
        error = UnavailableError() if future.cancelled() else future.exception()
        if error is None:
            return False
        unavailable = isinstance(error, UnavailableError)
        if not unavailable:
            text = saga.activation.address.text
            log.error("%s: saga %s: %s", text, saga.name, type(error).__name__)
        wait_s = saga.backoff.next_s() if unavailable else self._context.limits.crash_retry_s
        self._later(saga, wait_s)
        return True

    def _later(self, saga: Saga, wait_s: float) -> None:
        if not saga.activation.shard.closed:
            saga.handle = self._context.loop.call_later(wait_s, self._drive, saga)


def _done(activation: Activation, follow_up: str) -> None:
    """Note that a follow-up is done: after the last one the entity need not be found again."""
    activation.owed = (activation.owed - {follow_up}) or NOTHING_OWED
    shard, state, behaviour = activation.shard, activation.state, activation.behaviour
    if activation.owed or not activation.loaded or activation.address not in shard.armed:
        return
    if behaviour.next_timer_ms(state) is None and not behaviour.unfinished(state):
        shard.disarmed[activation.address] = None
