"""The seam for distributed tracing.

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
    """One message of a trace, from its mailbox to its answer. The commit may end after the answer,
    when the caller has given up."""

    def within(self) -> AbstractContextManager[Any]:
        """A context in which whatever begins, such as a saga's step, belongs to this message."""

    def turn(self, epoch: int) -> AbstractContextManager[Any]:
        """A context in which the shard's writer decides the message, under this epoch."""

    def submitted(self, lane: int, rows: int) -> None:
        """The decision's rows wait in this lane for its next batch."""

    def sent(self, batch: int, commits: int, rows: int) -> None:
        """The rows were sent in the lane's batch of this number, which has so many decisions and
        rows."""

    def committed(self, error: BaseException | None) -> None:
        """The rows are in the journal, or ``error`` says that they are not or that nobody knows."""

    def answered(self, future: asyncio.Future[Answer]) -> None:
        """The caller's future is done."""


class Tracer(Protocol):
    """Makes traces. The runtime calls it on the event loop, for each message."""

    def received(self, address: Address, command: Any) -> Trace | None:
        """The trace of a message that goes into a mailbox here; ``None`` if it has none."""

    def continued(self, traceparent: str) -> AbstractContextManager[Any]:
        """A context in which whatever begins belongs to the span of another instance that
        ``traceparent`` names."""

    def held(self, slot: int) -> None:
        """The current message waits, because the slot has no owner."""
