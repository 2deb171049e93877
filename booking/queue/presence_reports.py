"""Tells the owners of queues who was seen here, so that nobody is dropped who polls elsewhere.

A report goes out also when it is empty: an instance that lives and is not heard of may have seen
anybody, so until it is heard again everybody counts as seen.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Protocol

from actors.clock import Clock
from actors.cluster.node import ClusterNode
from booking.addresses import queue_address
from booking.queue.view import QueueView

log = logging.getLogger(__name__)

REPORT_EVERY_S = 5.0
"""A twelfth of the default limit of silence; at 100,000 waiting users some 20 kB each time."""

MISSED_AFTER_MS = 12_000
"""Two reports of an instance have not come. Less than the shortest limit of silence there is."""

TOPIC = "presence"


class Others(Protocol):
    """What has to be known of the cluster."""

    def holds(self, slot: int) -> bool:
        """Whether this instance owns the slot."""

    def owner_of(self, slot: int) -> str:
        """The name of the instance that does, or an empty one."""

    def names(self) -> list[str]:
        """Of all other instances that are not taken for dead."""

    def tell(self, instance: str, topic: str, body: bytes) -> None:
        """May get lost."""


class NodeOthers:
    """Implements :class:`Others`."""

    def __init__(self, node: ClusterNode) -> None:
        self._node = node

    def holds(self, slot: int) -> bool:
        return self._node.runtime.shards.holds(slot)

    def owner_of(self, slot: int) -> str:
        return self._node.sharding.directory.owner(slot).instance

    def names(self) -> list[str]:
        return self._node.members.others()

    def tell(self, instance: str, topic: str, body: bytes) -> None:
        self._node.control.send(instance, topic, body)


class PresenceReports:
    """One instance's. A report that does not arrive is made up for by the next poll of each user,
    which comes long before the limit."""

    def __init__(
        self, instance: str, others: Others, queues: Mapping[str, QueueView], clock: Clock
    ) -> None:
        self._instance = instance
        self._others = others
        self._queues = queues
        self._clock = clock
        self._heard_ms: dict[tuple[str, str], int] = {}
        """By queue and instance. Bounded by the instances there have been."""

    async def run(self) -> None:
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            self.report()

    def report(self) -> None:
        """One round over all queues."""
        for name, view in list(self._queues.items()):
            slot = queue_address(name).slot
            if self._others.holds(slot):
                # Who was seen here, the keeper knows by the book itself.
                self._forgive_what_was_missed(name, view)
            elif owner := self._others.owner_of(slot):
                topic = f"{TOPIC}/{name}/{self._instance}"
                self._others.tell(owner, topic, view.presence.report())

    def _forgive_what_was_missed(self, name: str, view: QueueView) -> None:
        now_ms = self._clock.now_ms()
        for instance in self._others.names():
            # Whoever is met for the first time has until then to report.
            heard_ms = self._heard_ms.setdefault((name, instance), now_ms)
            if now_ms - heard_ms > MISSED_AFTER_MS:
                log.info("queue %s: nothing heard of who is at %s", name, instance)
                view.presence.forgive(now_ms)

    def told(self, topic: str, body: bytes) -> None:
        """Another instance reports."""
        kind, _, rest = topic.partition("/")
        name, _, instance = rest.partition("/")
        view = self._queues.get(name)
        if kind != TOPIC or view is None:
            log.warning("another instance told of %r, which is not known here", topic[:100])
            return
        now_ms = self._clock.now_ms()
        try:
            view.presence.merge(body, now_ms)
        except ValueError as error:
            log.warning("a report that cannot be read: %s", error)
        else:
            self._heard_ms[name, instance] = now_ms
