"""What a queue has to do, and where its promoter may be killed."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import msgspec

Reached = Callable[[str], None]
"""Told the name of each point that a promotion passes; at one of them the process may die."""


class Place(msgspec.Struct, frozen=True):
    """What somebody is told who asks."""

    number: int
    ahead: int
    inside: bool


class Queue(ABC):
    """A waiting queue over one component. Its edge and its promoter are processes that have nothing
    in common but the component. In favour of all of them, they leave out what ours does besides:
    idempotency keys, signed tokens, a limit of how many are inside, the end of their time, and
    people who leave or go silent.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    component: ClassVar[str]
    durability: ClassVar[str]
    """Of a place that was acknowledged."""
    points: ClassVar[tuple[str, ...]]
    """Between the effects of a promotion."""
    loaded: ClassVar[bool] = True
    """Whether it is worth a load of its own: no other has its edge."""

    def __init__(self, url: str, run: str) -> None:
        """``run`` is a name of its own, so that nothing of an earlier run is met."""
        self.url, self.run = url, run

    @abstractmethod
    async def open(self) -> None:
        """Connect, and make what is not there yet."""

    @abstractmethod
    async def close(self) -> None:
        """Disconnect."""

    @abstractmethod
    async def join(self, user: str) -> int:
        """Line up; the user's number, which is durable when this returns."""

    @abstractmethod
    async def ask(self, user: str, number: int) -> Place | None:
        """Where somebody stands; ``None`` for one whom the queue does not know (any more)."""

    @abstractmethod
    async def admit(self, count: int, reached: Reached) -> None:
        """Let in the next ``count`` who wait, or as many as there are."""

    @abstractmethod
    async def admissions(self) -> list[int]:
        """The numbers that were let in, each as often as it was, in that order."""
