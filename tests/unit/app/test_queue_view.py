"""The view answers as the owner would, whatever happened before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booking import calls
from booking.calls import TRIM_MIN, QueueToken, TokenError
from booking.queue.domain.events import Policy
from booking.queue.domain.line import place_of
from booking.queue.domain.lots import draw
from booking.queue.domain.members import PAGE_NUMBERS, Page, joined_in
from booking.queue.domain.queue import (
    Admit,
    ChangePolicy,
    DrawPlaces,
    DropSilent,
    Leave,
    UseToken,
)
from booking.queue.view import POLL_FAR_MS, POLL_NEAR_MS, QueueView
from tests.support.followed import T0, Followed, token


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["join", "join", "leave", "use", "wait", "silent", "open", "draw"]),
            st.integers(0, 11),
        ),
        max_size=40,
    )
)
def test_a_view_that_follows_and_one_that_starts_anew_agree_with_the_owner(
    story: list[tuple[str, int]],
) -> None:
    followed = Followed()
    for what, which in story:
        user = f"user-{which}"
        place = place_of(followed.line, user)
        if what == "join" and place is None:
            followed.join(user)
        elif what in ("leave", "use") and place is not None:
            made = Leave if what == "leave" else UseToken
            followed.tell(made(user, place.number))
        elif what == "wait":
            followed.now_ms += 700 * which
            followed.tell(Admit())
        elif what == "silent":
            followed.tell(DropSilent((which, which + 1)))
        elif what == "open":
            followed.tell(ChangePolicy("eve", opens_ms=followed.now_ms + 1_000 * which))
        elif what == "draw":
            followed.now_ms = max(followed.now_ms, followed.view.draw_due_ms)
            followed.tell(DrawPlaces(f"seed {which}"))
        followed.check(followed.view)
    anew = followed.new_view()
    anew.reset(followed.line)
    followed.check(anew)
    assert (anew.waiting, anew.active) == (followed.line.waiting, len(followed.line.active))


def test_a_number_that_was_never_given_is_invalid() -> None:
    with pytest.raises(TokenError, match="token_invalid"):
        Followed().view.status(token("ann", 1), "t", T0)


# -- numbers that are given a second time ------------------------------------------------------


def lost_and_restored() -> tuple[Followed, QueueView, QueueToken, QueueToken]:
    """Ann's number 2 was given after the backup, and is Ben's after the restore."""
    followed = Followed(Policy(max_active=10, admit_per_interval=0, active_ms=600_000))
    followed.join("eve")
    backup = followed.line
    followed.now_ms += 60_000
    ann = token("ann", followed.join("ann"), followed.now_ms)
    followed.line, followed.view = backup, followed.new_view()
    followed.view.reset(backup)
    followed.now_ms += 3_600_000
    ben = token("ben", followed.join("ben"), followed.now_ms)
    assert ann.number == ben.number
    return followed, followed.view, ann, ben


def test_a_token_of_the_lost_time_does_not_come_alive() -> None:
    followed, view, ann, ben = lost_and_restored()
    assert view.is_active(ben, followed.now_ms)
    assert view.status(ben, "t", followed.now_ms).active
    assert not view.is_active(ann, followed.now_ms)
    with pytest.raises(TokenError, match="token_expired"):
        view.status(ann, "t", followed.now_ms)


def test_nor_at_an_instance_that_starts_later() -> None:
    followed, _, ann, ben = lost_and_restored()
    anew = followed.new_view()
    anew.reset(followed.line)
    assert anew.is_active(ben, followed.now_ms)
    with pytest.raises(TokenError, match="token_expired"):
        anew.status(ann, "t", followed.now_ms)


def test_nor_is_its_holder_a_sign_of_the_others() -> None:
    followed, view, ann, ben = lost_and_restored()
    view.note_sign(ann, followed.now_ms)
    assert view.presence.report() == b""
    view.note_sign(ben, followed.now_ms)
    assert view.presence.report() != b""


def test_the_token_of_one_who_waits_is_matched_too() -> None:
    followed = Followed(Policy(max_active=1, admit_per_interval=0, active_ms=600_000))
    for user in ("eve", "ann", "ben"):
        followed.join(user)
    assert followed.seen("ann").ahead == 0
    with pytest.raises(TokenError, match="token_expired"):
        followed.view.status(token("mallory", 2, T0 - 1), "t", T0)


def test_a_token_of_a_long_line_is_looked_up_in_its_own_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Given a line of four pages, when an instance begins with it and tokens of one page come,
    then each is judged rightly at once, and no other page has been read."""
    followed = Followed(Policy(max_active=1, admit_per_interval=0, active_ms=600_000))
    for n in range(4 * PAGE_NUMBERS):
        followed.join(f"user-{n}")
    anew = followed.new_view()
    read = list[int]()

    def noted(page: Page) -> Iterator[int]:
        read.append(len(page))
        return joined_in(page)

    monkeypatch.setattr(calls, "joined_in", noted)
    anew.reset(followed.line)
    assert read == []
    number = 2 * PAGE_NUMBERS + 5
    assert not anew.knows(token("mallory", number, T0 - 1))
    assert anew.knows(token(f"user-{number - 1}", number))
    assert anew.knows(token(f"user-{number}", number + 1))
    assert len(read) == 1


def test_times_of_numbers_that_have_ended_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    small = 64
    monkeypatch.setattr(calls, "PAGE_NUMBERS", small)
    followed = Followed(Policy(max_active=0, admit_per_interval=0, active_ms=1_000))
    for n in range(3 * TRIM_MIN * small):
        followed.join(f"user-{n}")
        followed.now_ms += 10
        followed.tell(Admit())
    followed.check(followed.view)
    assert len(followed.view._issued._times) < 2 * TRIM_MIN


@pytest.fixture(scope="module")
def long_line() -> Followed:
    """4,000 in line, of whom one is inside."""
    followed = Followed(Policy(max_active=1, admit_per_interval=0, active_ms=600_000))
    for n in range(4_000):
        followed.join(f"user-{n}")
    return followed


def test_those_far_back_are_told_to_poll_less_often(long_line: Followed) -> None:
    near, far = long_line.seen("user-1"), long_line.seen("user-3999")
    assert POLL_NEAR_MS * 0.9 <= near.poll_after_ms <= POLL_NEAR_MS * 1.1
    assert POLL_FAR_MS * 0.9 <= far.poll_after_ms <= POLL_FAR_MS * 1.1


@pytest.mark.parametrize("idle_ms", [20_000, 60_000, 600_000])
@pytest.mark.parametrize("luck", [0.0, 1.0])
def test_nobody_is_told_to_be_silent_for_half_as_long_as_one_may_be(
    long_line: Followed, idle_ms: int, luck: float
) -> None:
    policy = long_line.policy
    view = QueueView("main", policy, now_ms=lambda: T0, idle_ms=idle_ms, draw=lambda: luck)
    view.reset(long_line.line)
    for user, number in (("user-0", 1), ("user-3999", 4_000)):
        poll_ms = view.status(token(user, number), "t", T0).poll_after_ms
        assert 2 * (poll_ms + 900) <= idle_ms


# -- openings --------------------------------------------------------------------------------------


def test_a_place_is_told_only_after_the_draw_of_an_opening() -> None:
    """Until then a user who waits learns the time of the opening."""
    followed = Followed()
    opens_ms = T0 + 60_000
    followed.tell(ChangePolicy("eve", opens_ms=opens_ms))
    for n in range(10):
        followed.join(f"user-{n}")
    before = [followed.seen(f"user-{n}") for n in range(10)]
    assert {(each.ahead, each.eta_known, each.opens_ms) for each in before} == {
        (9, False, opens_ms)
    }
    assert followed.view.draw_due_ms == opens_ms
    followed.now_ms = opens_ms
    followed.tell(DrawPlaces("seed"))
    lots = draw("seed", 1, 10)
    assert followed.view.last_draw == lots
    assert followed.view.draw_due_ms == 0
    for n in range(10):
        seen, place = followed.seen(f"user-{n}"), lots.place(n + 1)
        assert (seen.active, seen.ahead) == (place <= 2, max(0, place - 3))
        assert seen.opens_ms == 0


# -- what operators see ----------------------------------------------------------------------------


def test_admissions_and_departures_of_the_last_minute_are_counted() -> None:
    followed = Followed(Policy(max_active=3, admit_per_interval=0, active_ms=600_000))
    for n in range(10):
        followed.join(f"user-{n}")
    followed.tell(Leave("user-9", 10))
    followed.tell(DropSilent((8, 9)))
    view = followed.view
    assert (view.admitted_last_minute, view.left_last_minute) == (3, 3)
    followed.now_ms = T0 + 59_999
    assert (view.admitted_last_minute, view.left_last_minute) == (3, 3)
    followed.now_ms = T0 + 60_000
    assert (view.admitted_last_minute, view.left_last_minute) == (0, 0)
    assert (view.waiting, view.active, view.last_number, view.watermark) == (4, 3, 10, 3)
