"""Clients of a cluster of nodes who ask all the time, through any instance, and count failures."""

from __future__ import annotations

import asyncio
from random import Random

from actors.address import Address
from actors.errors import KeyInFlightError, UnavailableError
from tests.support.nodes import Node, Nodes
from tests.support.runtimes import key

PAUSE_S = 0.05
"""Between two questions of one client: four of them ask about 75 times a second."""


class Askers:
    """``keyed`` clients repeat with the same key until they are answered."""

    def __init__(self, nodes: Nodes, count: int = 4, *, keyed: bool = False) -> None:
        self._nodes = nodes
        self._keyed = keyed
        self._random = Random(count)
        self._stopping = False
        self._numbers = 0
        self.addresses = [Address("counter", f"asked-{number}") for number in range(64)]
        self.done = dict.fromkeys(self.addresses, 0)
        """Additions acknowledged."""
        self.failed: list[tuple[float, str]] = []
        self.slowest_s = 0.0
        self._tasks = [asyncio.ensure_future(self._run()) for _ in range(count)]

    def through(self) -> Node:
        return self._random.choice([n for n in self._nodes.alive if not n.process.stopped])

    async def _run(self) -> None:
        while not self._stopping:
            self._numbers += 1
            number, address = self._numbers, self._random.choice(self.addresses)
            began = self._nodes.clock.monotonic()
            while not await self._once(address, number):  # noqa: ASYNC110 - it is asked again
                await asyncio.sleep(0.1)
            self.slowest_s = max(self.slowest_s, self._nodes.clock.monotonic() - began)
            self.done[address] += 1
            await asyncio.sleep(PAUSE_S)

    async def _once(self, address: Address, number: int) -> bool:
        command_key = key(number) if self._keyed else None
        try:
            await self.through().ask(address, ("add", 1), key=command_key)
        except (UnavailableError, KeyInFlightError) as error:
            self.failed.append((self._nodes.clock.monotonic(), repr(error)))
            return False
        except asyncio.CancelledError:
            if self._stopping:
                raise
            self.failed.append((self._nodes.clock.monotonic(), "its instance is gone"))
            return False
        return True

    async def finish(self) -> None:
        """End, and look whether everything acknowledged is there."""
        self._stopping = True
        await asyncio.gather(*self._tasks)
        for address, done in self.done.items():
            found = self._nodes.state(address)
            assert found >= done, f"{address.text}: {done} acknowledged, {found} there"
            assert not self._keyed or found == done, f"{address.text}: {found - done} done twice"
