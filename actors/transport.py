"""The way a message takes to the instance that owns its entity."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from actors.address import Address
from actors.behaviour import CommandKey


class Request(msgspec.Struct, frozen=True, gc=False):
    """One command on its way to the entity that decides it."""

    address: Address
    command: Any
    deadline: float
    """When the caller gives up, in seconds on :meth:`actors.clock.Clock.monotonic`."""
    key: CommandKey | None = None
    """With a key the outcome is stored, and a repeat gets the stored answer."""
    hops: int = 1
    """How many times the request was sent from instance to instance, this time included."""
    epoch: int = 0
    """The highest epoch of the shard that the sender knows; 0 for none."""
    traceparent: str = ""
    """The span that the owner continues (W3C Trace Context); empty for none."""


@dataclass(slots=True, eq=False)
class Answer:
    """A reply, and whether it is the stored one of an earlier command with the same key."""

    reply: Any
    replayed: bool = False
    beside: bool = False
    """What was asked beside the decision (:attr:`actors.behaviour.Decision.beside`) was answered as
    expected, and is in the journal, too."""


class ShardOwner(msgspec.Struct, frozen=True, gc=False):
    """Who owns a shard, as far as an instance knows. All fields are empty if it knows nobody."""

    instance: str = ""
    epoch: int = 0
    incarnation: str = ""


class Transport(Protocol):
    """Carries commands to other instances, as :class:`actors.peers.transport.PeerTransport`."""

    def ask(self, instance: str, request: Request) -> Coroutine[Any, Any, Answer]:
        """Send a request to the named instance; the coroutine returns its answer.

        Raises what a local ask raises (:mod:`actors.errors`); an instance that cannot be reached is
        :class:`~actors.errors.NotOwnedError` if the message was never sent and
        :class:`~actors.errors.OutcomeUnknownError` if it may have been.
        """

    def tell(self, instance: str, request: Request, on_lost: Callable[[], None]) -> None:
        """Send a request that is not answered, over a link that is up. Calls back if it is refused,
        or if its link ends, however long after; once more if another was told since.

        Raises :class:`~actors.errors.UnavailableError` if it cannot be sent now.
        """

    def connected(self, instance: str) -> bool:
        """Whether there is a link to the instance on which it answers."""

    async def close(self) -> None:
        """Refuse all waiting callers and close the links."""
