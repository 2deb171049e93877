"""What users are told of how long they will wait."""

from __future__ import annotations

from math import ceil

from hypothesis import given, settings
from hypothesis import strategies as st

from booking.queue.domain.events import Policy
from booking.queue.domain.line import place_of
from booking.queue.domain.queue import Admit, ChangePolicy, DropSilent, Leave, UseToken
from booking.queue.forecast import BASIS_MS, STALE_MS, STEP, Forecast
from tests.support.followed import T0, Followed
from tests.support.lines import user_of

SLOTS = Policy(max_active=2, admit_per_interval=0, active_ms=600_000)


def pay_one(followed: Followed) -> None:
    """Whoever has been inside for longest pays."""
    _, number = followed.line.active.first() or (0, 0)
    followed.tell(UseToken(user_of(followed.line, number), number))


def crowded(policy: Policy = SLOTS, users: int = 40) -> Followed:
    followed = Followed(policy)
    for n in range(users):
        followed.join(f"user-{n}")
    return followed


def test_nobody_is_told_a_time_without_a_basis_and_later_the_measured_one() -> None:
    followed = crowded()
    assert not followed.seen("user-20").eta_known
    for _ in range(12):
        followed.now_ms += 5_000
        pay_one(followed)
    seen = followed.seen("user-39")
    assert seen.eta_known
    # One in 5 s, so 26 take 130 s; rounded by at most a step.
    assert 130 <= seen.eta_s <= ceil(130 * STEP)


def test_an_empty_room_that_fills_is_no_basis() -> None:
    """A thousand come in within a second and then nobody for long: not 1,000 a second."""
    followed = crowded(Policy(max_active=20, admit_per_interval=0, active_ms=600_000))
    followed.now_ms += BASIS_MS + 1
    assert not followed.seen("user-39").eta_known
    for _ in range(4):
        followed.now_ms += 20_000
        pay_one(followed)
    assert followed.seen("user-39").eta_s >= 20 * followed.seen("user-39").position


def test_a_configured_rate_alone_is_a_basis_at_once() -> None:
    followed = crowded(Policy(max_active=0, admit_per_interval=60, active_ms=600_000))
    seen = followed.seen("user-39")
    assert (seen.eta_known, seen.eta_s) == (True, seen.ahead + 1)


def test_a_rate_that_the_limit_of_those_inside_may_undercut_is_none() -> None:
    narrow = Policy(max_active=2, admit_per_interval=60, active_ms=600_000)
    assert not crowded(narrow).seen("user-39").eta_known
    wide = Policy(max_active=600, admit_per_interval=60, active_ms=600_000)
    assert crowded(wide).seen("user-39").eta_known


def test_in_a_pause_and_after_a_long_standstill_no_time_is_told() -> None:
    followed = crowded()
    for _ in range(12):
        followed.now_ms += 5_000
        pay_one(followed)
    assert followed.seen("user-39").eta_known
    followed.now_ms += STALE_MS + 1
    assert not followed.seen("user-39").eta_known
    rated = crowded(Policy(max_active=0, admit_per_interval=60, active_ms=600_000))
    rated.tell(ChangePolicy("eve", mode="paused"))
    assert not rated.seen("user-39").eta_known
    rated.tell(ChangePolicy("eve", mode="open"))
    assert rated.seen("user-39").eta_known


def test_an_operator_who_halves_the_rate_doubles_the_times() -> None:
    followed = crowded(Policy(max_active=0, admit_per_interval=60, active_ms=600_000))
    before = followed.seen("user-39").eta_s
    followed.tell(ChangePolicy("eve", admit_per_interval=30))
    assert followed.seen("user-39").eta_s == 2 * before


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["join", "pay", "pay", "pay", "leave", "silent", "wait", "burst"]),
            st.integers(0, 60_000),
        ),
        max_size=120,
    ),
    st.sampled_from([SLOTS, Policy(max_active=4, admit_per_interval=30, active_ms=90_000)]),
)
def test_a_time_told_to_one_user_only_falls_or_stands(
    story: list[tuple[str, int]], policy: Policy
) -> None:
    followed, users = crowded(policy, 30), 30
    told: dict[int, int] = {}
    for what, amount in story:
        if what == "join":
            followed.join(f"user-{users}")
            users += 1
        elif what == "pay" and followed.line.active:
            followed.now_ms += amount // 10
            pay_one(followed)
        elif what == "burst":
            for _ in range(min(amount // 10_000, followed.line.waiting - 5)):
                if followed.line.active:
                    pay_one(followed)
        elif what == "leave" and followed.line.last_number > amount % 30:
            number = amount % 30 + 1
            followed.tell(Leave(f"user-{number - 1}", number))
        elif what == "silent":
            followed.tell(DropSilent((amount % 40, amount % 41)))
        else:
            followed.now_ms += amount
            followed.tell(Admit())
        for n in range(users):
            place = place_of(followed.line, f"user-{n}")
            if place is None or place.until_ms:
                continue
            seen = followed.seen(f"user-{n}")
            if seen.eta_known:
                assert seen.eta_s <= told.get(n, seen.eta_s)
                told[n] = seen.eta_s


def test_what_is_kept_for_all_users_together_is_little() -> None:
    """Rates up and down for an hour; only what still holds for somebody is kept."""
    forecast, policy = Forecast(), SLOTS
    forecast.rules_changed(policy)
    now, number = T0, 100
    forecast.admitted(policy, now, 1, 1_000, True, number)
    for step in range(36_000):
        now += 100 + (step * 7919) % 900
        number += 3
        forecast.admitted(policy, now, 1 + (step // 600) % 50, 1_000, True, number)
    assert len(forecast._told) < 100
    assert forecast.rate(1, now, policy) >= forecast.rate(number, now, policy) > 0
