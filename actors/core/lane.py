"""A lane: group commit over one connection. The next batch forms while one is in flight.

One append at a time keeps seq gapless and makes *not sent* different from *unknown*.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from actors.core.context import Limits
from actors.core.shard import Commit
from actors.journal.contract import Batch, Journal, JournalError

QUIET_ROUNDS = 3
"""Rounds of the event loop without a new commit after which none is on its way."""


class LaneOwner(Protocol):
    """Learns what the journal said. A lane calls it between two appends."""

    incarnation: str
    """Of this instance."""

    def accepted(self, commits: Sequence[Commit]) -> None:
        """The journal has these commits."""

    def fenced(self, shards: Collection[int], commits: Sequence[Commit]) -> None:
        """These commits were not written, because their shards are not ours as we know them."""

    def doubtful(
        self, error: JournalError, sent: Sequence[Commit], unsent: Sequence[Commit]
    ) -> None:
        """The journal did not answer: ``sent`` may be written or not, ``unsent`` are not."""


class Lane:
    """Commits in batches. Its queue is bounded by the mailboxes."""

    def __init__(self, number: int, journal: Journal, limits: Limits, owner: LaneOwner) -> None:
        self._number = number
        self._journal = journal
        self._limits = limits
        self._owner = owner
        self._pending: deque[Commit] = deque()
        self._pending_rows = 0
        self._in_flight: Sequence[Commit] = ()
        self._wakeup: asyncio.Future[None] | None = None
        self.batches = 0
        """Batches sent so far."""

    @property
    def pending(self) -> int:
        """Commits submitted and not yet answered by the journal."""
        return len(self._pending) + len(self._in_flight)

    @property
    def callers(self) -> int:
        """How many callers wait for these commits."""
        commits = (*self._in_flight, *self._pending)
        return sum(len(commit.answers) + len(commit.readers or ()) for commit in commits)

    def submit(self, commit: Commit) -> None:
        """Queue a commit. A shard submits its commits in the order of their seqs."""
        commit.weight = len(commit.rows) + len(commit.outcomes) + len(commit.timers)
        commit.weight += len(commit.snapshots) + len(commit.pages)
        self._pending.append(commit)
        self._pending_rows += commit.weight
        if commit.trace is not None:
            commit.trace.submitted(self._number, commit.weight)
        if self._wakeup is not None:
            self._wakeup.set_result(None)
            self._wakeup = None

    async def run(self) -> None:
        """Append batch after batch, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            if not self._pending:
                self._wakeup = loop.create_future()
                await self._wakeup
            await self._gather(loop.time)
            await self._send()

    async def _send(self) -> None:
        """Append the next batch, and keep no reference to its states."""
        self._in_flight = commits = self._take()
        try:
            fenced = await self._journal.append(
                self._number, batch_of(commits, self._owner.incarnation)
            )
        except JournalError as error:
            self._in_flight = ()
            self._owner.doubtful(error, commits, self._take_unsent())
        else:
            self._in_flight = ()
            self._settle(commits, frozenset(fenced))

    async def _gather(self, time: Callable[[], float]) -> None:
        """Let the batch fill while the event loop has work that fills it.

        An append costs much however few rows it has. An idle process waits for nobody: no new
        commit for a few rounds, and the batch leaves.
        """
        limits, pending = self._limits, self._pending
        ends = time() + limits.gather_s
        quiet, known = 0, len(pending)
        while quiet < QUIET_ROUNDS and self._pending_rows < limits.batch_rows_enough:
            await asyncio.sleep(0)
            if time() >= ends:
                return
            quiet = quiet + 1 if len(pending) == known else 0
            known = len(pending)

    def _take(self) -> list[Commit]:
        """The next batch: at least one commit, at most the limit of rows."""
        commits = [self._pending.popleft()]
        weight, rows_max = commits[0].weight, self._limits.batch_rows_max
        while self._pending and weight + self._pending[0].weight <= rows_max:
            commit = self._pending.popleft()
            weight += commit.weight
            commits.append(commit)
        self._pending_rows -= weight
        self.batches += 1
        for commit in commits:
            if commit.trace is not None:
                commit.trace.sent(self.batches, len(commits), weight)
        return commits

    def _settle(self, commits: Sequence[Commit], fenced: Collection[int]) -> None:
        if not fenced:
            self._owner.accepted(commits)
            return
        self._owner.accepted([commit for commit in commits if commit.shard.number not in fenced])
        refused = [commit for commit in commits if commit.shard.number in fenced]
        refused += [commit for commit in self._pending if commit.shard.number in fenced]
        self._pending = deque(c for c in self._pending if c.shard.number not in fenced)
        self._pending_rows = sum(commit.weight for commit in self._pending)
        self._owner.fenced(fenced, refused)

    def _take_unsent(self) -> list[Commit]:
        unsent = list(self._pending)
        self._pending.clear()
        self._pending_rows = 0
        return unsent

    def abandon(self) -> tuple[Sequence[Commit], Sequence[Commit]]:
        """After :meth:`run` was cancelled: the commits that may be written, and the others."""
        sent = self._in_flight
        self._in_flight = ()
        return sent, self._take_unsent()


def batch_of(commits: Sequence[Commit], incarnation: str) -> Batch:
    """Merge commits into one batch; an entity's last snapshot and timer entry count."""
    return Batch(
        [row for commit in commits for row in commit.rows],
        [outcome for commit in commits for outcome in commit.outcomes],
        list({one.address: one for commit in commits for one in commit.snapshots}.values()),
        list({one.address: one for commit in commits for one in commit.timers}.values()),
        [page for commit in commits for page in commit.pages],
        incarnation,
    )
