"""Short words to other instances that nobody waits for and that may get lost: what they are about
is found out all the same, a little later."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from actors.address import Address
from actors.behaviour import CommandKey
from actors.clock import Clock
from actors.cluster.links import Links
from actors.cluster.messages import DESK, Abandon, Look, Message, Told
from actors.errors import EntityCrashedError, UnavailableError
from actors.tasks import Tasks

log = logging.getLogger(__name__)

NOTICE_TIMEOUT_S = 1.0
"""Whoever has not taken a word by then finds out by itself: every loop looks twice a second, and
keys end by their time."""


class Notices:
    """One instance's. ``look_here`` is how this instance nudges itself."""

    def __init__(
        self,
        instance: str,
        links: Links,
        clock: Clock,
        tasks: Tasks,
        *,
        look_here: Callable[[], None],
    ) -> None:
        self._instance = instance
        self._links = links
        self._clock = clock
        self._tasks = tasks
        self._look_here = look_here

    def nudge(self, instances: Collection[str]) -> None:
        """There is something new in the stored table that concerns these."""
        for name in instances:
            if name == self._instance:
                self._look_here()
            else:
                self._tasks.spawn(self._say(name, Look()), "nudge")

    def abandon(self, owner: str, address: Address, key: CommandKey) -> None:
        """An operation that was begun with this key will not come to its last step; untold, its
        owner lets go of the key after :attr:`actors.core.limits.Limits.begun_ttl_s`."""
        abandon = Abandon(address, key.id, key.fingerprint)
        self._tasks.spawn(self._say(owner, abandon), "abandon")

    def tell(self, instance: str, topic: str, body: bytes) -> None:
        """Something of the application's for another instance."""
        self._tasks.spawn(self._say(instance, Told(topic, body)), "tell")

    async def _say(self, instance: str, message: Message) -> None:
        deadline = self._clock.monotonic() + NOTICE_TIMEOUT_S
        try:
            await self._links.ask(instance, DESK, message, key=None, deadline=deadline)
        except (UnavailableError, EntityCrashedError) as error:
            log.info("%s does not hear %s: %s", instance, type(message).__name__, error)
