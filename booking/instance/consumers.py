"""Which consumers of events an instance runs. See ``docs/how-to/add-an-event-consumer.md``."""

import pkgutil
from collections.abc import Mapping, Sequence

import msgspec

from actors.consumers.contract import Consumer, Offsets
from actors.consumers.postgres import PostgresOffsets
from actors.journal.contract import Journal
from actors.journal.partitioned import journal_over
from booking.readmodel.consumer import ReadModel
from booking.relay.brokers import relays_of
from booking.settings import Settings, SettingsError


class Followers(msgspec.Struct, frozen=True):
    """The consumers, each with where it keeps how far it is, and the journal that they read."""

    journal: Journal
    consumers: Sequence[tuple[Consumer, Offsets]] = ()
    elsewhere: Mapping[str, Offsets] = {}
    """How far those are that other processes run, by name."""


def consumers_of(settings: Settings) -> list[Consumer]:
    """The product's own, and those that ``BOOKING_CONSUMERS`` names. Raises
    :class:`~booking.settings.SettingsError`."""
    consumers = [_named(name) for name in settings.consumers]
    if settings.read_url:
        consumers.append(ReadModel(settings.database_url).consumer(settings.read_url))
    names = [consumer.name for consumer in consumers]
    if len(set(names)) < len(names):
        raise SettingsError(f"BOOKING_CONSUMERS: two consumers have one name: {', '.join(names)}")
    return consumers


def followers_of(settings: Settings, *more: Consumer) -> Followers:
    """Those of the settings, and ``more``. They read the journal on one connection to each
    database that nobody else uses, opened when it is needed."""
    return Followers(
        journal_over(settings.databases, lanes_each=0, pool_size=1),
        [
            (one, PostgresOffsets(one, settings.database_url))
            for one in (*consumers_of(settings), *more)
        ],
        {
            relay.name: PostgresOffsets(relay.consumer(), settings.database_url)
            for relay in relays_of(settings)
        },
    )


def _named(name: str) -> Consumer:
    try:
        found = pkgutil.resolve_name(name)
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"BOOKING_CONSUMERS: {name}: {error}") from error
    if not isinstance(found, Consumer):
        raise SettingsError(f"BOOKING_CONSUMERS: {name} is no consumer")
    return found
