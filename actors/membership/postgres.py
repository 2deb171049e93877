"""Membership in PostgreSQL: a row for each instance that says so. The statements are in
``membership.sql``, the table in the migration ``0007_cluster.sql``.

For outages of Redis (see :mod:`actors.membership.announcements`): a heartbeat here is a commit.
"""

from collections.abc import Sequence

import asyncpg
import msgspec

from actors.connections.postgres import Link, statements
from actors.journal.contract import JournalError
from actors.membership.contract import Member, MembershipError

TIMEOUT_S = 1.0
"""For one statement: two heartbeats. A later answer is overtaken by the next one."""

_SQL = statements("actors.membership", "membership.sql")


class PostgresMembership:
    """One instance's connection, opened when first needed and again after each failure."""

    def __init__(self, dsn: str) -> None:
        self._link = Link(dsn, TIMEOUT_S)

    async def announce(self, member: Member, ttl_s: float) -> None:
        """As the contract says."""
        text = msgspec.json.encode(member).decode()
        await self._ask("announce", instance=member.instance, member=text, ttl_s=ttl_s)

    async def leave(self, member: Member) -> None:
        """As the contract says."""
        await self._ask("leave", instance=member.instance, incarnation=member.incarnation)

    async def members(self) -> list[Member]:
        """As the contract says."""
        records = await self._ask("members")
        try:
            return [msgspec.json.decode(record["member"], type=Member) for record in records]
        except msgspec.DecodeError as error:
            raise MembershipError(f"an instance that this one cannot read: {error}") from error

    async def claimed(self, incarnation: str) -> bool:
        """Whether this run of an instance has ever claimed a shard of this database's journal."""
        return bool((await self._ask("claimed", incarnation=incarnation))[0]["claimed"])

    async def _ask(self, name: str, **values: object) -> Sequence[asyncpg.Record]:
        try:
            return await self._link.fetch(_SQL[name], **values)
        except JournalError as error:
            raise MembershipError(str(error)) from error

    async def close(self) -> None:
        """Close the connection; what was announced stays until its time is over."""
        await self._link.close()
