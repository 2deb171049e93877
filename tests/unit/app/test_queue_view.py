"""The view answers as the owner would, whatever happened before."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booking.api import QueueToken, TokenError
from booking.domain.queue import (
    Admit,
    Join,
    Leave,
    Line,
    Policy,
    UseToken,
    decide_queue,
    evolve_queue,
    place_of,
)
from booking.views.queue import POLL_FAR_MS, POLL_NEAR_MS, RATE_BASIS_MS, QueueView

T0 = 1_800_000_000_000
POLICY = Policy(max_active=2, admit_per_minute=0, active_ms=5_000)


def token(user: str, number: int) -> QueueToken:
    return QueueToken(user, "main", number, T0)


class Followed:
    """A line and a view that is told of each event."""

    def __init__(self, policy: Policy = POLICY) -> None:
        self.line, self.policy, self.now_ms = Line(), policy, T0
        self.view = QueueView("main", draw=lambda: 0.5)
        self.numbers: dict[int, str] = {}

    def tell(self, command: Join | Leave | UseToken | Admit) -> None:
        decided = decide_queue(self.line, command, self.policy, self.now_ms)
        for event in decided.events:
            self.line = evolve_queue(self.line, event)
        self.view.apply(decided.events)

    def join(self, user: str) -> int:
        self.tell(Join(user))
        self.numbers[self.line.last_number] = user
        return self.line.last_number

    def check(self, view: QueueView) -> None:
        for number, user in self.numbers.items():
            place = place_of(self.line, user)
            current = place is not None and place.number == number
            over = current and place is not None and 0 < place.until_ms <= self.now_ms
            if not current or over:
                with pytest.raises(TokenError, match="token_expired"):
                    view.standing(token(user, number), "t", self.now_ms)
                assert not view.is_active(token(user, number), self.now_ms)
                continue
            assert place is not None
            seen = view.standing(token(user, number), "t", self.now_ms)
            assert (seen.number, seen.active) == (number, place.until_ms > 0)
            assert seen.expires_ms == place.until_ms
            assert seen.ahead == (0 if seen.active else place.ahead)
            assert seen.position == (0 if seen.active else place.ahead + 1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["join", "leave", "use", "wait"]), st.integers(0, 11)),
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
        followed.check(followed.view)
    anew = QueueView("main")
    anew.reset(followed.line)
    followed.check(anew)
    assert (anew.waiting, anew.active) == (followed.line.waiting, len(followed.line.active))


def test_a_number_that_was_never_given_is_invalid() -> None:
    with pytest.raises(TokenError, match="token_invalid"):
        QueueView("main").standing(token("ann", 1), "t", T0)


def test_nobody_is_told_an_eta_without_a_basis_and_later_the_measured_one() -> None:
    followed = Followed(Policy(max_active=1, admit_per_minute=0, active_ms=600_000))
    users = [f"user-{n}" for n in range(12)]
    for user in users:
        followed.join(user)
    assert not followed.view.standing(token(users[1], 2), "t", T0).eta_known
    for number in range(1, 7):
        followed.now_ms = T0 + number * 10_000
        followed.tell(UseToken(users[number - 1], number))
    now = T0 + 60_000
    assert now - T0 > RATE_BASIS_MS
    seen = followed.view.standing(token(users[11], 12), "t", now)
    assert seen.eta_known
    assert seen.ahead == 4
    # Seven admissions in 60 s, so five more take about 43 s.
    assert 40 <= seen.eta_s <= 50


def test_those_far_back_are_told_to_poll_less_often() -> None:
    followed = Followed(Policy(max_active=1, admit_per_minute=0, active_ms=600_000))
    numbers = [followed.join(f"user-{n}") for n in range(4_000)]
    near = followed.view.standing(token("user-1", numbers[1]), "t", T0)
    far = followed.view.standing(token("user-3999", numbers[-1]), "t", T0)
    assert POLL_NEAR_MS * 0.9 <= near.poll_after_ms <= POLL_NEAR_MS * 1.1
    assert POLL_FAR_MS * 0.9 <= far.poll_after_ms <= POLL_FAR_MS * 1.1
