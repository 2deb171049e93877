"""What an application gives an instance of a cluster: its entities, and who is told of what."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from actors.address import Address
from actors.behaviour import Behaviour
from actors.core.context import Observer


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """Everything here is called synchronously, on the loop of the instance."""

    behaviours: Sequence[Behaviour]
    observer: Observer
    """Is told of what this instance decides."""
    follower: Observer
    """Is told of what other instances decide. May be the observer."""
    shown: Mapping[str, bool]
    """Kinds of entities that views are made of, and whether the view wants states or only
    events."""
    on_gained: Callable[[Collection[int]], None] = lambda shards: None
    """These shards are served here from now on."""
    on_told: Callable[[str, bytes], None] = lambda topic, body: None
    """The application of another instance says something, by
    :meth:`actors.cluster.notices.Notices.tell`."""
    hot: Callable[[int], Sequence[Address]] = lambda shard: ()
    """The entities of a shard that callers will want at once: read before it moves here."""
