"""The stores beneath an instance."""

from dataclasses import dataclass

from actors.cluster import application as cluster
from actors.election.redis import RedisElection
from actors.journal.contract import Journal
from actors.journal.partitioned import journal_over
from actors.membership.foreign import ForeignInstances
from actors.membership.postgres import PostgresMembership
from actors.membership.previous import DualMembership
from actors.membership.redis import RedisMembership
from actors.placement.partitioned import placement_over
from actors.placement.postgres import PostgresOperations
from booking.catalogue.contract import CatalogueStore
from booking.catalogue.store import PostgresCatalogue
from booking.identity import Identity
from booking.settings import Settings

LANES = 1
"""Connections that append, for each database of the journal. While one batch is in flight the next
one forms; two batches in flight would be smaller each, and cost the process more."""


@dataclass(frozen=True, kw_only=True)
class Stores(cluster.Stores):
    """Those of the cluster, and the catalogue."""

    catalogue: CatalogueStore

    async def close(self) -> None:
        """Close them all."""
        await self.catalogue.close()
        await super().close()


def open_journal(settings: Settings) -> Journal:
    """The journal in its databases, to be connected before an instance joins the others."""
    return journal_over(settings.databases, LANES)


def stores_of(
    settings: Settings, identity: Identity, journal: Journal, foreign: ForeignInstances
) -> Stores:
    """The stores that the settings name; those besides the journal connect when first used."""
    url, standby = settings.redis_url, PostgresMembership(settings.database_url)
    store = RedisMembership(url, identity.cluster, foreign)
    return Stores(
        journal=journal,
        placement=placement_over(settings.databases),
        operations=PostgresOperations(settings.database_url),
        membership=DualMembership(store, RedisMembership(url), standby.claimed, foreign),
        standby=standby,
        election=RedisElection(url, identity.cluster, ttl_s=cluster.TIMES.key_ttl_s),
        catalogue=PostgresCatalogue(settings.database_url),
    )
