"""How an instance is doing: for probes, and as numbers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping

from actors.cluster.node import ClusterNode
from actors.journal import Journal, JournalError
from booking.api import Readiness
from booking.views.queue import QueueView
from booking.views.tallies import Tallies

JOURNAL_PING_TIMEOUT_S = 1.0
"""A journal that needs longer to say hello serves nobody within their deadline."""


async def check_readiness(
    problem: Callable[[], str | None], journal: Journal, is_draining: Callable[[], bool]
) -> Readiness:
    """Whether to send this instance requests. Membership is not part of it: without Redis every
    owner goes on serving."""
    return Readiness(
        {
            "journal": await _journal_problem(journal),
            "shards": problem(),
            "draining": "draining" if is_draining() else None,
        }
    )


async def _journal_problem(journal: Journal) -> str | None:
    try:
        async with asyncio.timeout(JOURNAL_PING_TIMEOUT_S):
            await journal.ping()
    except (JournalError, TimeoutError):
        return "out of reach"
    return None


def gauges(
    node: ClusterNode, queues: Collection[QueueView], tallies: Tallies
) -> Mapping[str, float]:
    """The application's numbers for ``/metrics``; :mod:`booking.measures` says what they mean."""
    seen = node.runtime.statistics()
    leader = node.leader.view()
    numbers: dict[str, float] = {
        "shards_owned": seen.shards,
        "entities": seen.entities,
        "mailbox_depth": seen.mailbox_depth,
        "uncommitted_decisions": seen.queued_rows,
        "callers_waiting": seen.in_flight,
        "timers": seen.timers,
        "sagas": seen.sagas,
        "turns_total": seen.turns,
        "commits_total": seen.commits,
        "events_total": seen.rows,
        "loads_total": seen.loads,
        "refused_total": seen.refused,
        "deadlines_exceeded_total": seen.deadlines_exceeded,
        "shards_fenced_total": seen.fenced,
        "entity_crashes_total": seen.crashes,
        "shards_claimed_total": node.steward.claims,
        "shards_moving": len(node.runtime.claiming) + node.steward.moving,
        "instances_alive": len(node.roster.others()) + 1,
        "leader": float(leader.mine),
        "leader_term": leader.term,
        "messages_held": node.router.held,
        "messages_held_total": node.router.held_total,
        "messages_held_in_vain_total": node.router.refused,
        "messages_sent_on_total": node.router.sent_on,
        "view_reads_total": node.copies.reads,
        "loop_lag_seconds": node.runtime.lag_s,
        "queue_waiting": sum(view.waiting for view in queues),
        "queue_active": sum(view.active for view in queues),
        **tallies.counts(),
    }
    if seen.last_commit_age_s is not None:
        numbers["last_commit_age_seconds"] = seen.last_commit_age_s
    return numbers
