"""The decisions alone, on times that the tests write down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from actors.election.candidacy import Candidacy, Times
from actors.placement.contract import Leadership

T0 = datetime(2030, 1, 1, tzinfo=UTC)
TIMES = Times()


def row(term: int = 3, holder: str = "bert-1", beat: float = 0.0, *, expired: bool) -> Leadership:
    return Leadership(term, holder, "redis", T0 + timedelta(seconds=beat), expired)


def candidate(now_s: float = 100.0) -> Candidacy:
    return Candidacy("anna-1", TIMES, now_s)


def leader(sent_s: float = 100.0) -> Candidacy:
    """Elected via Redis by two calls sent at that time."""
    anna = candidate(sent_s)
    anna.saw(row(expired=True), sent_s)
    anna.campaigned(True, sent_s, sent_s)
    assert anna.road(sent_s) == "redis"
    anna.won(4, "redis", sent_s)
    return anna


def test_the_key_alone_is_not_enough() -> None:
    anna = candidate()
    anna.campaigned(True, 100.0, 100.1)
    assert anna.road(100.1) == "", "the row was not read"
    anna.saw(row(expired=False), 100.2)
    assert anna.road(100.2) == "", "the row is another's"
    anna.saw(row(expired=True), 100.3)
    assert anna.road(100.3) == "redis"
    anna.saw(None, 100.4)
    assert anna.road(100.4) == "", "the row cannot be read any more"


def test_a_row_of_its_own_is_free() -> None:
    anna = candidate()
    anna.saw(row(holder="anna-1", expired=False), 100.0)
    assert anna.free(100.0)


def test_a_grant_is_worth_nothing_when_it_is_old() -> None:
    anna = candidate()
    anna.saw(row(expired=True), 100.0)
    anna.campaigned(True, 100.0, 103.9)
    assert anna.road(103.9) == "redis"
    assert anna.road(104.0) == ""


def test_a_row_not_renewed_for_a_lease_is_free() -> None:
    """Candidates measure the lease by their own clocks, not by the database's."""
    anna = candidate()
    anna.saw(row(beat=1, expired=False), 100.0)
    anna.saw(row(beat=1, expired=False), 104.9)
    assert not anna.free(104.9)
    anna.saw(row(beat=2, expired=False), 105.0)
    assert not anna.free(105.0), "it was renewed"
    anna.saw(row(beat=2, expired=False), 110.0)
    assert anna.free(110.0)


def test_a_leader_leads_for_four_seconds_after_its_last_renewals_were_sent() -> None:
    anna = leader(100.0)
    assert anna.leads(103.99)
    assert not anna.leads(104.0)
    anna.campaigned(True, 102.0, 102.7)
    assert anna.until_s == 104.0, "the older of the two counts"
    anna.kept(True, 102.5)
    assert anna.until_s == 106.0


def test_a_refused_key_or_a_term_that_is_over_ends_it_at_once() -> None:
    refused, over = leader(), leader()
    refused.campaigned(False, 101.0, 101.1)
    over.kept(False, 101.0)
    assert not refused.leads(101.1)
    assert not over.leads(101.1)
    assert refused.step_down() == 4
    assert refused.step_down() is None
    assert refused.road(101.2) == ""


def test_without_redis_the_row_is_enough_after_fifteen_seconds() -> None:
    anna = candidate(100.0)
    anna.saw(row(expired=True), 100.0)
    assert anna.road(114.9) == ""
    assert anna.road(115.0) == "postgres"
    anna.heard(115.0)
    assert anna.road(115.1) == "", "Redis is back, and its key not won"


def test_without_redis_a_row_that_is_held_is_left_alone() -> None:
    anna = candidate(100.0)
    anna.saw(row(expired=False), 120.0)
    assert anna.road(120.0) == ""


def test_a_leader_by_the_row_takes_the_key_when_it_can() -> None:
    """It goes on by the row when it cannot."""
    anna = candidate(100.0)
    anna.saw(row(expired=True), 115.0)
    anna.won(4, "postgres", 115.0)
    anna.campaigned(False, 116.0, 116.0)
    assert (anna.leads(116.0), anna.via) == (True, "postgres")
    anna.campaigned(True, 117.0, 117.0)
    assert (anna.term, anna.via) == (4, "redis")
    assert anna.until_s == 119.0, "the row was renewed last at 115"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"call_timeout_s": 0.0}, "0 < call_timeout_s"),
        ({"call_timeout_s": 1.5}, "call_timeout_s < renew_every_s"),
        ({"renew_every_s": 1.6}, "2 renew_every_s"),
        ({"hold_s": 5.0}, "two lead at once"),
        ({"row_lease_s": 5.5}, "row_lease_s \\+ call_timeout_s <= key_ttl_s"),
        ({"fallback_after_s": 7.5}, "fallback_after_s, or"),
    ],
)
def test_time_outs_out_of_order_are_refused_at_once(change: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words) as refusal:
        Times(**change)
    assert "\n" not in str(refusal.value)


def test_every_broken_rule_is_named_in_one_error() -> None:
    with pytest.raises(ValueError, match=r"two lead at once.*fallback_after_s"):
        Times(hold_s=5.0, fallback_after_s=1.0)
