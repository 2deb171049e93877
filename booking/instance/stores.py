"""The servers beneath an instance, as its settings name them."""

from __future__ import annotations

from actors.cluster.application import TIMES, Stores
from actors.election.redis import RedisElection
from actors.journal.contract import Journal
from actors.journal.partitioned import ShardedJournal, journal_over
from actors.journal.postgres import PostgresJournal
from actors.membership.postgres import PostgresMembership
from actors.membership.redis import RedisMembership
from actors.placement.stores.partitioned import placement_over
from actors.placement.stores.postgres_operations import PostgresOperations
from booking.settings import Settings

LANES = 1
"""Connections that append, for each database of the journal. While one batch is in flight the next
one forms; two batches in flight would be smaller each, and cost the process more."""


def make_journal(settings: Settings) -> PostgresJournal | ShardedJournal:
    """To be connected before an instance joins the others."""
    return journal_over(settings.databases, LANES)


def make_stores(settings: Settings, journal: Journal) -> Stores:
    """All of them; those besides the journal connect when they are first used."""
    return Stores(
        journal=journal,
        placement=placement_over(settings.databases),
        operations=PostgresOperations(settings.database_url),
        membership=RedisMembership(settings.redis_url),
        standby=PostgresMembership(settings.database_url),
        election=RedisElection(settings.redis_url, ttl_s=TIMES.key_ttl_s),
    )
