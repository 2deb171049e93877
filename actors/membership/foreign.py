"""Instances of other clusters that are met, in a shared Redis database or on a link."""

import logging

log = logging.getLogger(__name__)

NAMED_MAX = 1_000
"""Instances remembered, and named in the log: whoever can reach a port can invent names."""


class ForeignInstances:
    """Counts them and names each once. They are never asked anything."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, str]] = set()

    @property
    def total(self) -> int:
        """How many were met."""
        return len(self._seen)

    def met(self, instance: str, cluster: str, where: str) -> None:
        """Note one that was met ``where``, in a few words."""
        who = (instance, cluster)
        if who in self._seen or len(self._seen) >= NAMED_MAX:
            return
        self._seen.add(who)
        of = f"cluster {cluster}" if cluster else "an earlier release, without a shard here"
        log.warning("instance %s of another deployment (%s) was met %s", instance, of, where)
