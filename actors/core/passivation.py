"""Passivation: idle entities leave memory when there are too many."""

from __future__ import annotations

from collections import deque

from actors.core.shard import Activation

LOOKS_MAX = 128
"""Entities looked at for each one that comes in: some 20 us. When all were used since the last
round, the bound is passed by at most a hundredth until the next round finds idle ones."""


class Pool:
    """All activations of an instance, in a ring with a second chance (CLOCK; Corbato, 1968): close
    to least recently used, and a turn only has to set a flag.

    Busy activations are never evicted, so the bound gives way to what waits in mailboxes, which is
    bounded itself.
    """

    def __init__(self, entities_max: int) -> None:
        self._entities_max = entities_max
        self._ring: deque[Activation] = deque()
        self.size = 0
        """Entities in memory."""

    def admit(self, activation: Activation) -> None:
        """Count an activation that came into memory; beyond the bound, idle ones have to go."""
        self._ring.append(activation)
        self.size += 1
        if self.size > self._entities_max:
            self._shrink()
        elif len(self._ring) > 2 * self._entities_max:
            self._ring = deque(activation for activation in self._ring if not activation.gone)

    def leave(self, activation: Activation) -> None:
        """Count an activation that left memory with its shard."""
        activation.gone = True
        self.size -= 1

    def drop(self, activation: Activation) -> None:
        """Forget an entity; its next message loads it again."""
        del activation.shard.activations[activation.address]
        self.leave(activation)

    def _shrink(self) -> None:
        for _ in range(min(LOOKS_MAX, len(self._ring))):
            activation = self._ring.popleft()
            if activation.gone:
                continue
            if activation.touched:
                activation.touched = False
                self._ring.append(activation)
            elif activation.idle:
                self.drop(activation)
            else:
                self._ring.append(activation)
            if self.size <= self._entities_max:
                return
