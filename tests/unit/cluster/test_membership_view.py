"""Who is taken for dead: silence counts only while the store answers, and a link keeps alive."""

from __future__ import annotations

from collections.abc import Sequence

from actors.cluster.membership_view import (
    FORGOTTEN_AFTER_S,
    SILENT_MAX_S,
    STANDBY_WEIGHT,
    MembershipView,
)
from actors.membership.contract import Member
from actors.placement.contract import DesiredState

BEAT_S = 0.5
ME = Member("me", "me@1", "http://me", 0)


def member(beat: int, *, run: int = 1, draining: bool = False) -> Member:
    return Member("other", f"other@{run}", "http://other", 0, beat=beat, draining=draining)


class Watch:
    """A view of two instances, updated each half second, until the store or the other is silent."""

    def __init__(self) -> None:
        self.linked = False
        self.view = MembershipView(ME, lambda instance: self.linked)
        self.now_s = 0.0
        self.beat = 0

    def beats(self, count: int) -> None:
        for _ in range(count):
            self.beat += 1
            self.look([ME, member(self.beat)])

    def silent(self, seconds: float) -> None:
        """The store answers, and the other's beat stays the same."""
        for _ in range(round(seconds / BEAT_S)):
            self.look([ME, member(self.beat)])

    def look(self, members: Sequence[Member]) -> bool:
        self.now_s += BEAT_S
        return self.view.observe(members, self.now_s)

    def missed(self, seconds: float) -> bool:
        """No store answers."""
        news = False
        for _ in range(round(seconds / BEAT_S)):
            self.now_s += BEAT_S
            news = self.view.observe_outage() or news
        return news

    def second_hand(self, seconds: float, *, beating: bool) -> bool:
        """The journal's database answers instead of the store."""
        news = False
        for _ in range(round(seconds / BEAT_S)):
            self.now_s += BEAT_S
            self.beat += beating
            heard = [ME, member(self.beat)]
            news = self.view.observe(heard, self.now_s, weight=STANDBY_WEIGHT) or news
        return news

    @property
    def alive(self) -> bool:
        return self.view.alive("other")


def test_an_instance_that_beats_is_alive_for_ever() -> None:
    watch = Watch()
    watch.beats(1_000)
    assert watch.alive
    assert watch.view.others() == ["other"]
    assert watch.view.url_of("other") == "http://other"


def test_an_instance_whose_beat_stands_still_is_dead_after_a_few() -> None:
    watch = Watch()
    watch.beats(3)
    watch.silent(SILENT_MAX_S - 0.2)
    assert watch.alive
    watch.silent(1.0)
    assert not watch.alive
    assert not watch.view.serves("other")
    assert watch.view.others() == []
    assert watch.view.url_of("other") is None


def test_an_instance_gone_from_the_store_is_dead_as_soon() -> None:
    """Its death is news for those who look."""
    watch = Watch()
    watch.beats(3)
    news = [watch.look([ME]) for _ in range(4)]
    assert news == [False, False, False, True]
    assert not watch.alive


def test_a_beat_brings_it_back_to_life() -> None:
    watch = Watch()
    watch.beats(3)
    watch.silent(3.0)
    assert not watch.alive
    watch.beats(1)
    assert watch.alive
    assert watch.view.silent_s("other") == 0.0


def test_silence_while_the_store_is_away_does_not_count() -> None:
    watch = Watch()
    watch.beats(3)
    assert not watch.missed(300)
    assert watch.alive
    watch.silent(SILENT_MAX_S - 0.2)
    assert watch.alive, "the outage itself is no silence"


def test_an_empty_store_makes_no_live_instance_dead() -> None:
    watch = Watch()
    watch.beats(3)
    watch.missed(30)
    watch.look([ME])
    watch.look([ME])
    watch.beats(1)
    assert watch.alive


def test_nobody_is_dead_who_answers_on_a_link() -> None:
    watch = Watch()
    watch.beats(3)
    watch.linked = True
    watch.silent(30)
    assert watch.alive
    watch.linked = False
    assert not watch.alive


def test_silence_counts_less_while_the_database_is_asked() -> None:
    watch = Watch()
    watch.beats(3)
    assert not watch.second_hand(60, beating=True)
    assert not watch.second_hand(3.5, beating=False)
    assert watch.alive
    assert watch.second_hand(1.0, beating=False)
    assert not watch.alive


def test_nobody_dies_by_second_hand_who_is_linked() -> None:
    watch = Watch()
    watch.linked = True
    watch.beats(3)
    assert not watch.second_hand(60, beating=False)
    assert watch.alive


def test_a_stranger_is_remembered_and_stays_only_with_a_link() -> None:
    watch = Watch()
    for _ in range(3):
        watch.now_s += BEAT_S
        watch.view.observe([ME], watch.now_s, strangers=[member(7)])
    assert watch.view.others() == ["other"]
    watch.linked = True
    for _ in range(20):
        watch.now_s += BEAT_S
        watch.beat += 1
        watch.view.observe([ME], watch.now_s, strangers=[member(watch.beat)])
    assert watch.alive
    watch.linked = False
    assert not watch.alive, "its beats there are no sign of life"


def test_a_stranger_under_a_known_name_is_known_as_its_later_run() -> None:
    watch = Watch()
    watch.beats(3)
    later = Member("other", "other@2", "http://elsewhere", 9)
    watch.now_s += BEAT_S
    assert watch.view.observe([ME], watch.now_s, strangers=[later])
    assert watch.view.url_of("other") == "http://elsewhere"


def test_a_look_that_comes_late_counts_one_second_at_most() -> None:
    """This instance stood still; the other did not fall silent for it."""
    watch = Watch()
    watch.beats(3)
    watch.now_s += 60
    watch.look([ME, member(watch.beat)])
    assert watch.alive


def test_a_later_run_replaces_the_one_before() -> None:
    watch = Watch()
    watch.beats(10)
    watch.silent(3.0)
    assert watch.look([ME, member(1, run=2)])
    assert watch.alive
    known = watch.view.member("other")
    assert known is not None
    assert known.incarnation == "other@2"


def test_who_is_dead_for_long_and_not_linked_is_forgotten() -> None:
    watch = Watch()
    watch.beats(3)
    for _ in range(round(FORGOTTEN_AFTER_S / BEAT_S) + 2):
        watch.look([ME])
    assert [one.instance for one in watch.view.members()] == ["me"]
    assert watch.view.member("other") is None
    assert watch.view.silent_s("other") == 0.0


def test_operators_and_announcements_set_an_instances_state() -> None:
    watch = Watch()
    watch.beats(3)
    states = {}
    desired = {
        "plain": DesiredState(),
        "drain": DesiredState(draining=True),
        "evict": DesiredState(evicted=True),
    }
    for name, wanted in desired.items():
        watch.view.desired = {"other": wanted}
        states[name] = next(n.state for n in watch.view.nodes() if n.instance == "other")
    assert states == {"plain": "serving", "drain": "draining", "evict": "evicted"}
    assert watch.alive
    assert not watch.view.serves("other"), "evicted"
    watch.view.desired = {}
    assert watch.look([ME, member(4, draining=True)]), "it is news that somebody wants to go"
    assert next(n for n in watch.view.nodes() if n.instance == "other").draining


def test_this_instance_is_always_alive_and_no_other() -> None:
    watch = Watch()
    watch.look([])
    watch.look([Member("me", "me@0", "http://old", 0, beat=7)])
    assert watch.view.alive("me")
    assert watch.view.silent_s("me") == 0.0
    assert watch.view.others() == []
    assert not watch.view.alive("nobody")


def test_a_link_that_was_lost_or_found_between_two_looks_is_news() -> None:
    watch = Watch()
    watch.beats(3)
    watch.linked = True
    watch.silent(5.0)
    watch.linked = False
    assert watch.look([ME, member(watch.beat)])
    watch.linked = True
    assert watch.look([ME, member(watch.beat)])
    assert not watch.look([ME, member(watch.beat)])
