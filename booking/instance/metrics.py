"""An instance's own numbers for ``/metrics``, and their meanings in the words Prometheus shows."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from actors.cluster.node import ClusterNode
from actors.consumers.operations import Consumers
from actors.consumers.runner import ConsumerRunner
from actors.membership.foreign import ForeignInstances
from actors.peers import PeerStatistics
from booking.accounts.domain.account import Charged, PaymentCompleted, PaymentRefunded
from booking.queue.domain.events import Admitted, Entered, Joined, Left, TokensExpired, TokenUsed
from booking.queue.view import QueueView
from booking.seats.domain.seat import HoldExpired, HoldReleased, SeatHeld, SeatSold

MEANINGS: Final[Mapping[str, str]] = {
    "shards_owned": "Shards that this instance owns and serves.",
    "entities": "Entities in memory.",
    "entities_unreadable": "Entities whose events cannot be read; they refuse everything.",
    "mailbox_depth": "Messages of clients that wait to be decided.",
    "uncommitted_decisions": "Decisions that wait for the journal, sent to it or not.",
    "callers_waiting": "Callers that wait for a decision to be committed, or for a payment to end.",
    "timers": "Entities with a timer.",
    "sagas": "Payments under way, and used tokens that wait for their queue.",
    "turns_total": "Commands decided.",
    "commits_total": "Batches that the journal was sent.",
    "events_total": "Events committed.",
    "loads_total": "Entities loaded from the journal.",
    "refused_total": "Messages refused at once, because too many waited.",
    "deadlines_exceeded_total": "Messages whose time was over before they were answered.",
    "shards_fenced_total": "Shards taken away by the claim of another owner.",
    "shards_lost": "Shards that wait until an operator accepts that the journal lost rows.",
    "losses_noticed_total": "Times that a shard's journal was found here to have lost rows.",
    "entity_crashes_total": "Decisions that broke an invariant: a bug each.",
    "last_commit_age_seconds": "Time since the last commit; absent before the first.",
    "journal_silent_seconds": "Time since a database of the journal answered; 0 while all answer.",
    "clock_ahead_seconds": "How far the machine's clock is ahead of the database's.",
    "clock_steps_total": "Times that shards were left because the database's clock had stepped.",
    "shards_claimed_total": "Shards claimed, taken over or handed over to this instance.",
    "shards_moving": "Shards on their way to this instance, or being claimed again.",
    "instances_alive": "Instances that this one takes for alive, itself included.",
    "foreign_instances_total": "Instances of other deployments that were met and turned away.",
    "leader": "1 on the instance that leads, 0 on all others.",
    "leader_term": "The term of the last leader that this instance heard of.",
    "messages_held": "Callers held back now, because a shard is on the move.",
    "messages_held_total": "Times that a caller was held back.",
    "messages_held_in_vain_total": "Callers held back, or not even that, and then refused.",
    "messages_sent_on_total": "Messages sent on to the instance that owns the entity.",
    "view_reads_total": "Entities of other instances read from the journal for the views.",
    "audit_violations": "Violations that the last audit of the whole journal found.",
    "audit_violations_told": "Violations that the audit that follows told within a day.",
    "audit_behind_seconds": "How far the audit that follows is behind; 0 if it never ran.",
    "replication_slot_bytes": "Log that PostgreSQL keeps for the slowest replication slot.",
    "loop_lag_seconds": "How late the event loop runs what is due.",
    "queue_waiting": "Users in line, in all queues.",
    "queue_active": "Users inside, in all queues.",
    "queue_joins_total": "Users who lined up.",
    "queue_admissions_total": "Users who were let in.",
    "queue_leaves_total": "Places and active times that were given up.",
    "queue_tokens_used_total": "Tokens used up by a payment.",
    "queue_tokens_expired_total": "Active times that were over.",
    "seats_held_total": "Holds that began.",
    "seats_released_total": "Holds that their users gave up.",
    "seats_expired_total": "Holds whose time was over.",
    "seats_sold_total": "Seats sold.",
    "payments_completed_total": "Payments that ended with a seat.",
    "payments_refunded_total": "Payments that ended with the money back.",
    "charges_total": "Charges of balances.",
    "charged_won_total": "Won that was charged.",
    "paid_won_total": "Won that was paid for seats.",
}


class Tallies:
    """Counts committed events."""

    def __init__(self) -> None:
        self._seen: defaultdict[type, int] = defaultdict(int)
        self._admitted = 0
        self._expired = 0
        self._charged_won = 0
        self._paid_won = 0

    def note(self, events: Sequence[Any]) -> None:
        """Called with each decision's events, in the journal's order."""
        for event in events:
            kind = type(event)
            self._seen[kind] += 1
            if kind is Admitted:
                self._admitted += event.count
            elif kind is Entered:
                self._admitted += 1
            elif kind is TokensExpired:
                self._expired += len(event.numbers)
            elif kind is Charged:
                self._charged_won += event.amount
            elif kind is PaymentCompleted:
                self._paid_won += event.amount

    def counts(self) -> Mapping[str, float]:
        """By the names that ``/metrics`` has, without their prefix."""
        seen = self._seen
        return {
            "queue_joins_total": seen[Joined] + seen[Entered],
            "queue_admissions_total": self._admitted,
            "queue_leaves_total": seen[Left],
            "queue_tokens_used_total": seen[TokenUsed],
            "queue_tokens_expired_total": self._expired,
            "seats_held_total": seen[SeatHeld],
            "seats_released_total": seen[HoldReleased],
            "seats_expired_total": seen[HoldExpired],
            "seats_sold_total": seen[SeatSold],
            "payments_completed_total": seen[PaymentCompleted],
            "payments_refunded_total": seen[PaymentRefunded],
            "charges_total": seen[Charged],
            "charged_won_total": self._charged_won,
            "paid_won_total": self._paid_won,
        }


def gauges(
    node: ClusterNode,
    queues: Collection[QueueView],
    tallies: Tallies,
    foreign: ForeignInstances,
) -> Mapping[str, float]:
    """By name, without the prefix ``booking_``."""
    seen = node.runtime.health.statistics()
    leader = node.sharding.leader.view()
    numbers: dict[str, float] = {
        "shards_owned": seen.shards,
        "entities": seen.entities,
        "entities_unreadable": seen.unreadable,
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
        "shards_lost": len(node.runtime.shards.waiting),
        "losses_noticed_total": seen.losses,
        "entity_crashes_total": seen.crashes,
        "journal_silent_seconds": seen.journal_silent_s,
        "clock_ahead_seconds": seen.machine_ahead_s,
        "clock_steps_total": seen.clock_steps,
        "shards_claimed_total": node.sharding.claims.total,
        "shards_moving": len(node.runtime.shards.claiming) + node.sharding.allocator.moving,
        "instances_alive": len(node.members.others()) + 1,
        "foreign_instances_total": foreign.total,
        "leader": float(leader.mine),
        "leader_term": leader.term,
        "messages_held": node.router.held,
        "messages_held_total": node.router.held_total,
        "messages_held_in_vain_total": node.router.refused,
        "messages_sent_on_total": node.router.sent_on,
        "view_reads_total": node.replication.replicas.reads,
        "loop_lag_seconds": node.runtime.health.lag_s,
        "queue_waiting": sum(view.waiting for view in queues),
        "queue_active": sum(view.active for view in queues),
        **tallies.counts(),
    }
    if seen.last_commit_age_s is not None:
        numbers["last_commit_age_seconds"] = seen.last_commit_age_s
    return numbers


Labelled = tuple[tuple[str, str, str], ...]
"""Name, meaning, and the attribute that has it. A name that ends in ``_total`` is a counter's."""

_OF_PEERS: Labelled = (
    ("connected", "1 while there is a link to the instance.", "connected"),
    (
        "round_trip_seconds",
        "From a ping to its answer, smoothed; 0 before the first.",
        "round_trip_avg_s",
    ),
    ("asks_in_flight", "Asks that wait for an answer.", "in_flight"),
    ("asks_total", "Asks sent.", "asks"),
    ("refused_total", "Asks refused before they were sent.", "refused"),
    ("reconnects_total", "Links that replaced a lost one.", "reconnects"),
    ("bytes_total", "Bytes sent and received over the link.", "bytes"),
)
_OF_CONSUMERS: Labelled = (
    ("events_total", "Events that the consumer is done with.", "events"),
    ("failures_total", "Times that it failed, and went on later.", "failures"),
    (
        "stopped_shards",
        "Shards in which it stopped by itself, until an operator says so.",
        "stopped",
    ),
    ("behind_events", "Events that are committed here and not done.", "behind"),
    (
        "behind_seconds",
        "For how long there has always been something to do, but for halted shards.",
        "behind_s",
    ),
)


def _labelled(label: str, numbers: Labelled, things: Mapping[str, Any]) -> Iterable[Metric]:
    """A family for each number, with one value for each of the things by name."""
    for name, words, attribute in numbers:
        kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
        family = kind(f"booking_{label}_{name}", words, labels=(label,))
        for each, thing in things.items():
            family.add_metric((each,), float(getattr(thing, attribute)))
        yield family


class ConsumerNumbers(Collector):
    """How the consumers of this process are doing. Asked at each scrape."""

    def __init__(self, runners: Sequence[ConsumerRunner]) -> None:
        self._runners = runners

    def collect(self) -> Iterable[Metric]:
        """The families of this moment."""
        runners = {runner.consumer.name: runner for runner in self._runners}
        return _labelled("consumer", _OF_CONSUMERS, runners)


class ClusterNumbers(Collector):
    """Asked at each scrape. Labels are names of instances, of which there are a few."""

    def __init__(
        self,
        node: ClusterNode,
        consumers: Consumers,
        peers: Callable[[], Sequence[PeerStatistics]],
    ) -> None:
        self._node = node
        self._followed = ConsumerNumbers(consumers.runners)
        self._peers = peers

    def collect(self) -> Iterable[Metric]:
        """The families of this moment."""
        pauses = self._node.sharding.handoffs.pauses
        family = HistogramMetricFamily(
            "booking_handover_pause_seconds",
            "For how long a shard's callers were held back while it moved to this instance.",
        )
        family.add_metric((), buckets=pauses.cumulative(), sum_value=pauses.sum_s)
        yield family
        errors = CounterMetricFamily(
            "booking_journal_errors",
            "Times that the journal could not be used, by PostgreSQL's name for the cause.",
            labels=("cause",),
        )
        for cause, count in self._node.runtime.health.journal_errors.items():
            errors.add_metric((cause,), count)
        yield errors
        yield from _labelled("peer", _OF_PEERS, {peer.instance: peer for peer in self._peers()})
        yield from self._followed.collect()
