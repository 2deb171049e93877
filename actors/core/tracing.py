"""The seam for traces: what the runtime tells somebody who follows requests through the cluster.

Nobody has to. Without a tracer nothing is made for a message, and nothing of it is sent. Which
trace something belongs to is known by the context of the running task (:mod:`contextvars`);
between instances it travels as the text of a W3C ``traceparent``.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from typing import Any, Protocol

from actors.address import Address
from actors.transport import Answer


class Trace(Protocol):
    """One message of a trace, from its mailbox to its answer. The commit may end after the answer:
    a caller may have given up."""

    def within(self) -> AbstractContextManager[Any]:
        """What is begun inside, such as the steps of a saga, belongs to this message."""

    def turn(self, epoch: int) -> AbstractContextManager[Any]:
        """The shard's writer decides it inside, under this epoch."""

    def submitted(self, lane: int, rows: int) -> None:
        """The decision writes this many rows, which wait in this lane for the next batch."""

    def sent(self, batch: int, commits: int, rows: int) -> None:
        """They left for the journal, with the lane's batch of this number, which has so many
        decisions and rows."""

    def committed(self, error: BaseException | None) -> None:
        """They are in the journal, or else are not, or nobody knows."""

    def answered(self, future: asyncio.Future[Answer]) -> None:
        """The caller's future is done."""


class Tracer(Protocol):
    """Makes traces. All of it is called on the event loop, on the way of each message."""

    def received(self, address: Address, command: Any) -> Trace | None:
        """A message is on its way into a mailbox here; ``None`` if it belongs to no trace."""

    def continued(self, traceparent: str) -> AbstractContextManager[Any]:
        """What is begun inside belongs to the span, elsewhere, that this text names."""

    def held(self, slot: int) -> None:
        """What is going on now has to wait, because the slot has no owner."""
