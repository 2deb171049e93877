"""Who is taken for cut off from the journal, of one database or of several."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from actors.cluster.membership_view import CUT_OFF_AFTER_S, MembershipView
from actors.membership.contract import Health, Member

ME = Member("me", "me@1", "http://me", 0)
OTHER = Member("other", "other@1", "http://other", 0)
BEAT_S = 0.5

LONG, SHORT = 60.0, CUT_OFF_AFTER_S - 0.1
Answers = tuple[float, ...]


class Pair:
    """Two instances that beat, with what each says of the databases."""

    def __init__(self) -> None:
        self.view = MembershipView(ME, lambda instance: True)
        self.now_s = 0.0
        self.beat = 0

    def say(self, mine: Answers, others: Answers, *, run: int = 1) -> None:
        self.now_s += BEAT_S
        self.beat += 1
        me = replace(ME, beat=self.beat, health=Health(journal_answers_s=mine))
        other = replace(
            OTHER,
            beat=self.beat,
            incarnation=f"other@{run}",
            health=Health(journal_answers_s=others),
        )
        self.view.announce(me)
        self.view.observe([me, other], self.now_s)

    @property
    def cut_off(self) -> tuple[bool, bool]:
        """Whether this instance is, and whether the other is."""
        return self.view.cut_off("me"), self.view.cut_off("other")


@pytest.mark.parametrize(
    ("mine", "others", "cut_off"),
    [
        ((LONG,), (LONG,), (False, False)),
        ((LONG,), (-CUT_OFF_AFTER_S,), (False, True)),
        ((LONG,), (-SHORT,), (False, False)),
        ((SHORT,), (-LONG,), (False, False)),
        ((-LONG,), (-LONG,), (False, False)),
        ((-LONG,), (LONG,), (True, False)),
        ((-LONG,), (SHORT,), (False, False)),
        # one of two databases
        ((LONG, LONG), (LONG, -LONG), (False, True)),
        ((LONG, -LONG), (LONG, -LONG), (False, False)),
        ((LONG, -LONG), (LONG, LONG), (True, False)),
        ((LONG, -LONG), (-LONG, LONG), (True, True)),
        # a release that does not say
        ((LONG,), (), (False, False)),
    ],
)
def test_it_takes_a_witness_who_is_answered_for_as_long(
    mine: Answers, others: Answers, cut_off: tuple[bool, bool]
) -> None:
    """A database that answers nobody is nobody's fault, and one that has just come back gives
    everybody the time to find it."""
    pair = Pair()
    pair.say(mine, others)
    assert pair.cut_off == cut_off


def test_who_was_cut_off_has_to_be_well_for_a_while() -> None:
    pair = Pair()
    pair.say((LONG,), (-LONG,))
    pair.say((LONG,), (SHORT,))
    assert not pair.view.serves("other")
    pair.say((LONG,), (CUT_OFF_AFTER_S,))
    assert pair.view.serves("other")


def test_a_later_run_begins_anew() -> None:
    pair = Pair()
    pair.say((LONG,), (-LONG,))
    pair.say((LONG,), (0.5,), run=2)
    assert pair.view.serves("other")


def test_the_planner_sees_who_is_cut_off() -> None:
    pair = Pair()
    pair.say((LONG,), (-LONG,))
    [me, other] = pair.view.nodes()
    assert (me.state, me.usable) == ("serving", True)
    assert (other.state, other.usable, other.serves) == ("cut_off", False, False)
