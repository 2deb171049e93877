"""What the shards of one instance share: limits, each with the origin of its number, counters and
collaborators."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import msgspec

from actors.behaviour import Behaviour
from actors.clock import DatabaseClock, PauseDetector
from actors.core.folding import Leftovers
from actors.subscription import Subscription


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one runtime. The defaults are for one process on a small machine."""

    mailbox_max: int = 1_024
    """Messages waiting at one entity. A storm of 500 commands at one cold user has to fit while
    the user is loaded, twice; what one entity decides in the default deadline is far more."""

    mailboxes_max: int = 20_000
    """Messages waiting at all entities together: about two seconds of work for one core at 10,000
    commands a second, well within the default deadline. More would only be answered too late."""

    ask_timeout_s: float = 5.0
    """How long a caller waits who names no time. Longer than a takeover (aim 3 s), shorter than
    what an impatient person or a proxy waits."""

    turns_max: int = 32
    """Turns of one shard before other work gets the event loop, such as sending a batch that is
    large enough: at 20 to 40 us a turn about a millisecond, in which nobody notices."""

    batch_rows_max: int = 1_000
    """Rows of one append. Measured: 100 to 1,000 rows reach the same rate within a third, and
    1,000 take 11 ms; more would add delay and no rate."""

    batch_rows_enough: int = 64
    """Rows of an append that are worth sending at once. Measured: an append costs this process some
    200 us and PostgreSQL as much, whatever is in it, and a row some 15 and 7 us; from 64 rows on,
    waiting for more saves little."""

    gather_s: float = 0.002
    """Longest wait of a smaller batch for what the process is deciding meanwhile: about as long as
    an append takes, so that it at most doubles a commit's latency, and only while the process is
    busy; then the fuller batch more than pays for it."""

    loads_max: int = 200
    """Entities of one load query: a few milliseconds of the journal's time, and of ours."""

    loaders: int = 2
    """Load queries at a time: the recovery budget. One may serve callers while the other
    recovers; more would compete with appends for the journal."""

    recovery_queue_max: int = 1_000_000
    """Marked entities waiting to be recovered, 100 bytes each. Beyond it starting fails loudly
    rather than forget timers."""

    entities_max: int = 50_000
    """Entities in memory: at about 1 kB each 50 MB, a sixth of the process' budget of 300 MB."""

    outcomes_max: int = 256
    """Stored outcomes in memory for each shard, newest kept: 65,536 over 256 shards, which is
    several seconds of keyed commands at full rate, when most repeats come. The rest is asked of
    the journal."""

    snapshot_bytes_min: int = 32 * 1024
    """Event bytes after which an entity gets a snapshot, unless its last snapshot was larger: then
    as many bytes as that, so that snapshots at most double what is written. 32 KiB decode in
    well under a millisecond."""

    tail_bytes_max: int = 4 * 1024 * 1024
    """Event bytes after which an entity gets a snapshot however large its last one was: some 40,000
    events, a fifth of a second of the next owner's time."""

    snapshot_commit_bytes: int = 128 * 1024
    """Bytes of a large snapshot that are written together: some milliseconds of its lane, which
    callers wait for as well."""

    saved_max: int = 500
    """Entities at rest that get a snapshot in one round of housekeeping: some 10 ms every two
    seconds, and 250 a second."""

    pages_kept_s: float = 30.0
    """How long the pages of a replaced snapshot stay for those who are reading it: many times what
    reading a million members takes."""

    crashes_max: int = 5
    """Crashes of one shard in ``crash_window_s`` before it is fenced. One bad command repeated by
    a client that gives up soon stays below."""

    crash_window_s: float = 60.0
    """The usual window of supervisors: long enough to see a loop, short enough to forgive."""

    crash_backoff_s: float = 5.0
    """How long a fenced crash loop rests before the shard is claimed again."""

    crash_retry_s: float = 15.0
    """After how long the runtime itself repeats a timer or saga step that crashed: at most four
    times in a crash window, so that alone it never fences a shard."""

    read_backoff_min_s: float = 1.0
    """First wait before an entity that could not be read is read again: what passes by itself, such
    as a want of memory, mostly has by then."""

    read_backoff_max_s: float = 60.0
    """Longest such wait: a timer that waits for an entity is at most that much later, and a release
    that cannot read thousands of them spends its time on other things."""

    timer_again_ms: int = 250
    """Shortest time between two wakes of one entity whose wish did not change by the first."""

    timer_check_s: float = 0.5
    """Longest sleep of the timers, so that a moved wall clock is noticed in time."""

    timers_fired_max: int = 1_000
    """Wakes put into mailboxes before other work gets the event loop, some 2 ms."""

    saga_backoff_min_s: float = 0.05
    """First wait of a saga step that found its target unavailable: a shard's move takes 250 ms."""

    saga_backoff_max_s: float = 5.0
    """Longest such wait: once back, a target is found within it."""

    journal_backoff_min_s: float = 0.1
    """First wait before the journal is tried again."""

    journal_backoff_max_s: float = 0.5
    """Longest such wait: serving starts at most this long after the journal is back, and an outage
    of a few seconds does not look like one of five, after which others take the shards."""

    journal_retry_after_s: float = 1.0
    """What refused callers are told while the journal is away."""

    retry_after_max_s: float = 10.0
    """Most that an overloaded instance tells callers to wait, lest they give up."""

    lease_check_s: float = 1.0
    """Longest time without a look whether the shards are still ours: as long as an instance that
    was frozen and replaced may answer reads from its past. The question is 256 small rows."""

    timers_disarmed_max: int = 500
    """Timer entries taken back in one round, half a batch."""

    housekeeping_s: float = 2.0
    """Between rounds: an entity whose timer ends and starts again within it keeps its mark."""


@dataclass(slots=True)
class Counters:
    """What a runtime counts from its start on."""

    waiting: int = 0
    """External messages in mailboxes now."""
    turns: int = 0
    rows: int = 0
    crashes: int = 0
    refused: int = 0
    loads: int = 0
    fenced: int = 0
    journal_errors: Counter[str] = field(default_factory=Counter)
    """By their cause."""
    losses: int = 0
    """Times that a shard's journal was found here to have lost rows."""
    sagas: int = 0
    """Sagas running now."""
    clock_steps: int = 0
    """Comparisons with a database's clock after which shards were left."""
    last_commit: float | None = None
    """When the last commit was, on the monotonic clock."""


class ShardContext:
    """Collaborators of one instance's shards that know nothing of shards."""

    def __init__(
        self,
        behaviours: Mapping[str, Behaviour],
        clock: DatabaseClock,
        limits: Limits,
        subscriptions: Sequence[Subscription],
    ) -> None:
        self.behaviours = behaviours
        self.clock = clock
        self.limits = limits
        self.subscriptions = list(subscriptions)
        self.loop = asyncio.get_running_loop()
        self.counters = Counters()
        self.random = Random()  # noqa: S311 - spreads retries, guards nothing
        self.drain_rate = 0.0
        """Turns a second, measured over the last round of housekeeping."""
        self.pause_detector = PauseDetector(clock, self.loop)
        self.leftovers = Leftovers()

    def retry_after_s(self) -> float:
        """In how many seconds what waits now will have been decided, at the measured rate."""
        limit = self.limits.retry_after_max_s
        wait_s = self.counters.waiting / self.drain_rate if self.drain_rate > 0 else 1.0
        return min(max(wait_s, 0.1), limit)
