"""An instance's own numbers for ``/metrics``; :mod:`~booking.instance.measures` explains them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from actors.cluster.node import ClusterNode
from booking.instance.tallies import Tallies
from booking.queue.view import QueueView


def gauges(
    node: ClusterNode, queues: Collection[QueueView], tallies: Tallies
) -> Mapping[str, float]:
    """By name, without the prefix ``booking_``."""
    seen = node.runtime.statistics()
    leader = node.sharding.leader.view()
    numbers: dict[str, float] = {
        "shards_owned": seen.shards,
        "entities": seen.entities,
        "mailbox_depth": seen.mailbox_depth,
        "uncommitted_decisions": seen.queued_commits,
        "callers_waiting": seen.in_flight,
        "timers": seen.timers,
        "sagas": seen.sagas,
        "turns_total": seen.turns,
        "commits_total": seen.batches,
        "events_total": seen.rows,
        "loads_total": seen.loads,
        "refused_total": seen.refused,
        "deadlines_exceeded_total": seen.deadlines_exceeded,
        "shards_fenced_total": seen.fenced,
        "entity_crashes_total": seen.crashes,
        "shards_claimed_total": node.sharding.claims.total,
        "shards_moving": len(node.runtime.claiming) + node.sharding.allocator.moving,
        "instances_alive": len(node.members.others()) + 1,
        "leader": float(leader.mine),
        "leader_term": leader.term,
        "messages_held": node.router.held,
        "messages_held_total": node.router.held_total,
        "messages_held_in_vain_total": node.router.refused,
        "messages_sent_on_total": node.router.sent_on,
        "view_reads_total": node.replication.replicas.reads,
        "loop_lag_seconds": node.runtime.lag_s,
        "queue_waiting": sum(view.waiting for view in queues),
        "queue_active": sum(view.active for view in queues),
        **tallies.counts(),
    }
    if seen.last_commit_age_s is not None:
        numbers["last_commit_age_seconds"] = seen.last_commit_age_s
    return numbers
