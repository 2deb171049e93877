"""Nobody is dropped for polling at an instance that is not the queue's owner."""

from __future__ import annotations

import asyncio

import pytest

from booking.queue.domain.events import Policy
from booking.queue.keeper import MISSED_AFTER_MS, REPORT_EVERY_S, PresenceReports
from booking.queue.view import QueueView
from tests.support.manual_clock import ManualClock
from tests.support.virtual_time import START_MS

IDLE_MS = 60_000
POLICY = Policy(10, 0, 600_000)


class Neighbour:
    """An instance with its view; ``owns`` says whether the queue is here."""

    def __init__(self, cluster: ThreeOfThem, name: str, owns: bool) -> None:
        self.name, self.owns, self.cluster = name, owns, cluster
        self.view = QueueView("main", POLICY, now_ms=cluster.clock.now_ms)
        self.view.last_number = 30
        self.reports = PresenceReports(
            name,
            {"main": self.view},
            cluster.clock,
            owner_of=lambda slot: name if self.owns else "one",
            others=self.others,
            send=self.send,
        )

    def others(self) -> list[str]:
        return [name for name in self.cluster.alive if name != self.name]

    def send(self, instance: str, topic: str, body: bytes) -> None:
        if self.name not in self.cluster.cut:
            self.cluster.all[instance].reports.told(topic, body)


class ThreeOfThem:
    """``one`` owns the queue; numbers 1 to 10 poll there, 11 to 20 at ``two``, the others
    nowhere."""

    def __init__(self) -> None:
        self.clock = ManualClock(START_MS)
        self.cut: set[str] = set()
        self.alive = ["one", "two", "three"]
        self.all = {name: Neighbour(self, name, name == "one") for name in self.alive}

    def pass_time(self, rounds: int) -> set[int]:
        """Who was found silent."""
        silent: set[int] = set()
        owner = self.all["one"].view
        for _ in range(rounds):
            self.clock.advance(int(REPORT_EVERY_S * 1000))
            now_ms = self.clock.now_ms()
            for number in range(1, 11):
                owner.presence.seen(number, now_ms)
            for number in range(11, 21):
                self.all["two"].view.presence.seen(number, now_ms)
            for name in self.alive:
                asyncio.run(self.all[name].reports.report())
            for some in owner.presence.silent(now_ms, IDLE_MS, 30, lambda _: 0):
                silent.update(some)
        return silent


def test_who_polls_anywhere_is_there_and_who_polls_nowhere_is_not() -> None:
    assert ThreeOfThem().pass_time(30) == set(range(21, 31))


def test_everybody_counts_as_seen_while_an_instance_is_not_heard() -> None:
    cluster = ThreeOfThem()
    cluster.pass_time(3)
    cluster.cut.add("two")
    assert cluster.pass_time(40) == set()
    cluster.cut.clear()
    assert cluster.pass_time(int(IDLE_MS / 1000 / REPORT_EVERY_S) + 4) == set(range(21, 31))


def test_an_instance_that_is_dead_is_not_waited_for() -> None:
    cluster = ThreeOfThem()
    cluster.pass_time(3)
    cluster.alive.remove("two")
    assert cluster.pass_time(30) == set(range(11, 31))


def test_two_missed_reports_are_less_than_the_shortest_limit() -> None:
    assert MISSED_AFTER_MS + 1000 * REPORT_EVERY_S < 20_000


@pytest.mark.parametrize(
    ("topic", "body"),
    [("presence/other/two", b""), ("weather/main/two", b""), ("presence/main/two", b"\xc1")],
)
def test_what_is_no_report_is_said_to_be_none(
    topic: str, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = ThreeOfThem()
    cluster.all["one"].reports.told(topic, body)
    assert len(caplog.records) == 1
