"""What each number of ``/metrics`` means, in the words that Prometheus shows.

``docs/reference/metrics.md`` says the same to people; tests hold both to what is really told. A
name here is one of :func:`booking.instance.gauges.gauges`, without the prefix ``booking_``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MEANINGS: Final[Mapping[str, str]] = {
    "shards_owned": "Shards that this instance owns and serves.",
    "entities": "Entities in memory.",
    "mailbox_depth": "Messages of clients that wait to be decided.",
    "uncommitted_decisions": "Decisions that wait for the journal, sent to it or not.",
    "callers_waiting": "Callers that wait for a decision to be committed, or for a payment to end.",
    "timers": "Entities with a timer.",
    "sagas": "Payments under way.",
    "turns_total": "Commands decided.",
    "commits_total": "Batches that the journal was sent.",
    "events_total": "Events committed.",
    "loads_total": "Entities loaded from the journal.",
    "refused_total": "Messages refused at once, because too many waited.",
    "deadlines_exceeded_total": "Messages whose time was over before they were answered.",
    "shards_fenced_total": "Shards taken away by the claim of another owner.",
    "entity_crashes_total": "Decisions that broke an invariant: a bug each.",
    "last_commit_age_seconds": "Time since the last commit; absent before the first.",
    "shards_claimed_total": "Shards claimed, taken over or handed over to this instance.",
    "shards_moving": "Shards on their way to this instance, or being claimed again.",
    "instances_alive": "Instances that this one takes for alive, itself included.",
    "leader": "1 on the instance that leads, 0 on all others.",
    "leader_term": "The term of the last leader that this instance heard of.",
    "messages_held": "Callers held back now, because a shard is on the move.",
    "messages_held_total": "Times that a caller was held back.",
    "messages_held_in_vain_total": "Callers held back, or not even that, and then refused.",
    "messages_sent_on_total": "Messages sent on to the instance that owns the entity.",
    "view_reads_total": "Entities of other instances read from the journal for the views.",
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
