"""What a workload is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from bench.record import Side
from bench.scenario import Scenario
from bench.world import World


def single(step: str, request: bytes, expected: int) -> Scenario:
    """One request that should get this status."""
    response = yield step, request
    return None if response.status == expected else f"{step}:{response.status}"


class Workload(ABC):
    """Something to measure. One instance serves one run against one service."""

    name: ClassVar[str]
    title: ClassVar[str]
    """One line for people."""
    unit: ClassVar[str] = "request"
    """What is counted: one scenario from its begin to its end."""
    settings: ClassVar[Mapping[str, str]] = {}
    """Environment of the service, where this workload needs other than the usual."""
    burst: ClassVar[int] = 0
    """Units that one slice runs to their end, all at once; 0 for slices of a fixed time."""
    connections: ClassVar[int] = 64

    async def prepare(self, world: World) -> None:  # noqa: B027 - optional for workloads
        """Make what the scenarios need, once, before anything is measured."""

    async def before_slice(self, world: World) -> None:  # noqa: B027 - optional for workloads
        """Called before every slice against the service."""

    @abstractmethod
    def scenario(self) -> Scenario | None:
        """The next scenario for the service; ``None`` when there is nothing left to do."""

    def bare_scenario(self) -> Scenario | None:
        """The next scenario for the bare route, if it must not use up what the service's need."""
        return self.scenario()

    def sample(self) -> Scenario | None:
        """A scenario that takes every step once; its answers become those of the bare route."""
        return self.scenario()

    async def verify(self, world: World, service: Side) -> list[str]:
        """What is wrong with the service's state after the run; empty if all is well."""
        return []
