"""Tells the owners of queues who was seen here, so that nobody is dropped who polls elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from actors.clock import Clock
from actors.cluster.node import ClusterNode
from booking.entities.addresses import queue_address
from booking.views.queue import QueueView

log = logging.getLogger(__name__)

REPORT_EVERY_S = 5.0
"""A twelfth of the default limit of silence; at 100,000 waiting users some 20 kB each time."""

TOPIC = "presence/"


class PresenceReports:
    """One instance's. A report that does not arrive is made up for by the next poll of each user,
    which comes long before the limit."""

    def __init__(self, node: ClusterNode, queues: Mapping[str, QueueView], clock: Clock) -> None:
        self._node = node
        self._queues = queues
        self._clock = clock

    async def run(self) -> None:
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            for name, view in list(self._queues.items()):
                self._report(name, view)

    def _report(self, name: str, view: QueueView) -> None:
        slot = queue_address(name).slot
        if self._node.runtime.holds(slot):
            return  # The keeper looks into the book itself.
        owner = self._node.directory.owner(slot).instance
        report = view.presence.report()
        if owner and report:
            self._node.tell(owner, TOPIC + name, report)

    def told(self, topic: str, body: bytes) -> None:
        """Another instance reports."""
        view = self._queues.get(topic.removeprefix(TOPIC))
        if not topic.startswith(TOPIC) or view is None:
            log.warning("another instance told of %r, which is not known here", topic[:100])
            return
        try:
            view.presence.merge(body, self._clock.now_ms())
        except ValueError as error:
            log.warning("a report that cannot be read: %s", error)
