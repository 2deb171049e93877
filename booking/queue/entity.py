"""The waiting queue as an actor. Its timer admits and ends what the rules say is due."""

from __future__ import annotations

from collections.abc import Callable

from actors.address import Address
from actors.behaviour import Behaviour, Decision, TimerFired, Turn
from booking.entities import QUEUE, Codec
from booking.queue.domain.commands import Admit, QueueCommand, QueueReply
from booking.queue.domain.events import Policy, QueueEvent
from booking.queue.domain.line import Line, evolve_queue
from booking.queue.domain.line_snapshot import LineSnapshot, line_from_snapshot, line_to_snapshot
from booking.queue.domain.queue import decide_queue, queue_next_wake


class QueueBehaviour(Codec, Behaviour):
    """Addressed as :func:`booking.entities.queue_address`. ``policy`` gives the rules of
    the settings, in force as long as no operator made others."""

    kind = QUEUE

    def __init__(self, policy: Callable[[], Policy]) -> None:
        Codec.__init__(
            self,
            states=LineSnapshot,
            events=QueueEvent,
            commands=QueueCommand,
            replies=QueueReply,
        )
        self._policy = policy

    def initial(self, address: Address) -> Line:
        """An empty line."""
        return Line()

    def decide(self, turn: Turn) -> Decision:
        """See :func:`booking.queue.domain.queue.decide_queue`."""
        command = Admit() if isinstance(turn.command, TimerFired) else turn.command
        decided = decide_queue(turn.state, command, self._policy(), turn.now_ms)
        events = [(turn.address, event) for event in decided.events]
        return Decision(decided.reply, events, states={turn.address: decided.line})

    def evolve(self, state: Line, event: QueueEvent) -> Line:
        """See :func:`booking.queue.domain.line.evolve_queue`."""
        return evolve_queue(state, event)

    def next_timer_ms(self, state: Line) -> int | None:
        """When somebody's time ends, or somebody may come in."""
        return queue_next_wake(state, self._policy())

    def encode_state(self, state: Line) -> bytes:
        """A snapshot of the line, kept by columns."""
        return super().encode_state(line_to_snapshot(state))

    def decode_state(self, data: bytes) -> Line | None:
        """The line of a snapshot, or ``None`` if it has another shape."""
        snapshot = super().decode_state(data)
        return None if snapshot is None else line_from_snapshot(snapshot)
