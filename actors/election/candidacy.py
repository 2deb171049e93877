"""Whether this instance leads, and whether it may try to: the decisions, without clock and I/O.

A leader holds the key of the election in Redis and the leader's row in the journal's database,
until :attr:`Times.hold_s` after the *older* of their last renewals was sent. The key says who may
try; the row's term says whose writes count.

Nobody tries while the row is held by another, so a Redis that forgot everything deposes nobody.
With the key and a free row, the next term is raised. A row is *free* when its time is over by the
database's clock, or was not renewed for a whole lease by ours. With Redis unheard for
:attr:`Times.fallback_after_s`, the free row alone will do.
"""

import math

import msgspec

from actors.placement.contract import Leadership, Via


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """The time-outs, whose order makes an election safe and its end certain. Raises ``ValueError``
    with every rule that is broken."""

    renew_every_s: float = 1.5
    call_timeout_s: float = 0.8
    """For one call to Redis or to the leader's row: both answer in a millisecond."""
    hold_s: float = 4.0
    """Two renewals may fail before it is over."""
    row_lease_s: float = 5.0
    key_ttl_s: float = 6.0
    fallback_after_s: float = 15.0

    def __post_init__(self) -> None:
        rules = (
            (self.call_timeout_s > 0, "0 < call_timeout_s"),
            (self.call_timeout_s < self.renew_every_s, "call_timeout_s < renew_every_s"),
            (
                2 * self.renew_every_s + self.call_timeout_s < self.hold_s,
                "2 renew_every_s + call_timeout_s < hold_s, or one lost renewal ends it",
            ),
            (self.hold_s < self.row_lease_s, "hold_s < row_lease_s, or two lead at once"),
            (
                self.row_lease_s + self.call_timeout_s <= self.key_ttl_s,
                "row_lease_s + call_timeout_s <= key_ttl_s, or the next leader gets the key first",
            ),
            (
                self.key_ttl_s + self.renew_every_s < self.fallback_after_s,
                "key_ttl_s + renew_every_s < fallback_after_s, or the row is taken behind the key",
            ),
        )
        if broken := "; ".join(words for holds, words in rules if not holds):
            raise ValueError(f"the time-outs of the election are out of order: {broken} ({self})")


class Candidacy:
    """One instance's part in the elections. All times are seconds of one monotonic clock:
    ``sent_s`` is when a question was sent, ``now_s`` when its answer was here."""

    def __init__(self, holder: str, times: Times, now_s: float) -> None:
        self._holder = holder
        self._times = times
        self._granted_s = -math.inf
        """When the last campaign that was granted was sent."""
        self._kept_s = -math.inf
        """When the last renewal of the row that succeeded was sent."""
        self._heard_s = now_s
        """When the election's store last answered anything."""
        self._readable = False
        self._row_since_s = now_s
        """Since when the row has been what it is, as far as we saw."""
        self.row: Leadership | None = None
        """As last read."""
        self.term: int | None = None
        """The term this instance won, until it steps down; it leads only until :attr:`until_s`."""
        self.via: Via = ""

    @property
    def until_s(self) -> float:
        """Until when it leads if nothing more succeeds."""
        if self.term is None:
            return -math.inf
        oldest_s = self._kept_s if self.via == "postgres" else min(self._kept_s, self._granted_s)
        return oldest_s + self._times.hold_s

    def leads(self, now_s: float) -> bool:
        """Whether it leads now. The term may be over all the same: only a write tells."""
        return now_s < self.until_s

    def heard(self, now_s: float) -> None:
        """The election's store is there."""
        self._heard_s = now_s

    def campaigned(self, granted: bool, sent_s: float, now_s: float) -> None:
        """The election's store granted the key, or refused it because another holds it."""
        self._heard_s = now_s
        self._granted_s = sent_s if granted else -math.inf
        if granted and self.term is not None:
            self.via = "redis"

    def saw(self, row: Leadership | None, now_s: float) -> None:
        """The row was read; ``None`` if it could not be."""
        self._readable = row is not None
        if row is None:
            return
        if self.row is None or not row.same_as(self.row):
            self._row_since_s = now_s
        self.row = row

    def kept(self, kept: bool, sent_s: float) -> None:
        """The row was renewed, or the term was found to be over."""
        self._kept_s = sent_s if kept else -math.inf

    def won(self, term: int, via: Via, sent_s: float) -> None:
        """The next term was raised, by a statement sent then."""
        assert self.term is None, "a leader does not run for the next term"
        self.term, self.via, self._kept_s = term, via, sent_s

    def free(self, now_s: float) -> bool:
        """Whether the row could be read just now and no other instance holds it."""
        row = self.row
        if row is None or not self._readable:
            return False
        abandoned = now_s - self._row_since_s >= self._times.row_lease_s
        return row.expired or row.holder == self._holder or abandoned

    def road(self, now_s: float) -> Via:
        """The way on which the next term may be raised now; empty if there is none."""
        if self.term is not None or not self.free(now_s):
            return ""
        if now_s < self._granted_s + self._times.hold_s:
            return "redis"
        if now_s - self._heard_s >= self._times.fallback_after_s:
            return "postgres"
        return ""

    def step_down(self) -> int | None:
        """Be leader no more; returns the term there was."""
        term, self.term, self.via = self.term, None, ""
        self._granted_s = self._kept_s = -math.inf
        return term
