"""Instances of two releases side by side, whose names in Redis differ."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from actors.clock import SystemClock
from actors.membership.contract import Member, MembershipError
from actors.membership.foreign import ForeignInstances
from actors.membership.previous import ASKED_AGAIN_AFTER, DualMembership
from tests.support.twins.membership import MemoryMembership, MemoryMembershipStore

TTL_S = 60.0
ANNA = Member("anna", "anna-2", "http://10.0.0.1:1", 2, cluster="here")
BERT = Member("bert", "bert-1", "http://10.0.0.2:1", 1)
"""Of the release before."""


class Shared:
    """What instances of both releases, and of other deployments, share."""

    def __init__(self, *claimed: str) -> None:
        clock = SystemClock()
        self.named, self.unnamed = MemoryMembershipStore(clock), MemoryMembershipStore(clock)
        self.claimed: Collection[str] = claimed
        self.foreign = ForeignInstances()
        self.asked = 0
        self.away = False

    def join(self) -> DualMembership:
        named, unnamed = MemoryMembership(self.named), MemoryMembership(self.unnamed)
        return DualMembership(named, unnamed, self._has_claimed, self.foreign)

    async def _has_claimed(self, incarnation: str) -> bool:
        self.asked += 1
        if self.away:
            raise MembershipError("away")
        return incarnation in self.claimed

    def names(self) -> list[str]:
        """Who is announced as the release before does it."""
        return sorted(self.unnamed.announced)


async def test_alone_only_the_clusters_own_names_are_used() -> None:
    shared = Shared()
    anna = shared.join()
    for _ in range(3):
        await anna.announce(ANNA, TTL_S)
        assert await anna.members() == [ANNA]
    assert shared.names() == []


async def test_each_release_sees_the_other_as_long_as_both_run() -> None:
    shared = Shared("bert-1")
    anna, bert = shared.join(), MemoryMembership(shared.unnamed)
    await bert.announce(BERT, TTL_S)
    await anna.announce(ANNA, TTL_S)
    assert await anna.members() == [ANNA, BERT]
    await anna.announce(ANNA, TTL_S)
    assert await bert.members() == [ANNA, BERT]

    await bert.leave(BERT)
    assert await anna.members() == [ANNA]
    await anna.leave(ANNA)
    assert shared.names() == []
    await anna.announce(ANNA, TTL_S)
    assert shared.names() == [], "the roll-out is over"


async def test_a_later_run_of_the_release_before_is_known_by_its_address() -> None:
    """It was restarted after a crash, and has claimed nothing yet."""
    shared = Shared("bert-1")
    anna, bert = shared.join(), MemoryMembership(shared.unnamed)
    await bert.announce(BERT, TTL_S)
    await anna.members()
    again = Member("bert", "bert-2", BERT.url, 5)
    await bert.announce(again, TTL_S)
    assert await anna.members() == [again]


async def test_an_instance_without_a_shard_here_is_a_stranger(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As one of another deployment that has not been upgraded yet."""
    shared = Shared()
    anna = shared.join()
    await MemoryMembership(shared.unnamed).announce(BERT, TTL_S)
    for _ in range(2 * ASKED_AGAIN_AFTER):
        await anna.announce(ANNA, TTL_S)
        assert await anna.members() == [ANNA]
    assert shared.names() == ["bert"], "and never hears of this cluster"
    assert shared.foreign.total == 1
    assert "bert of another deployment" in caplog.text
    assert shared.asked == 2, "not with every heartbeat"

    shared.claimed = ("bert-1",)
    for _ in range(ASKED_AGAIN_AFTER):
        await anna.members()
    assert await anna.members() == [ANNA, BERT], "it was one of ours that had just been started"


async def test_others_in_a_roll_out_of_their_own_are_passed_over() -> None:
    shared = Shared("eve-1")
    await MemoryMembership(shared.unnamed).announce(
        Member("eve", "eve-1", "http://10.0.0.9:1", 3, cluster="there"), TTL_S
    )
    assert await shared.join().members() == []


async def test_while_the_journal_is_away_nobody_is_called_a_stranger() -> None:
    shared = Shared("bert-1")
    shared.away = True
    anna = shared.join()
    await MemoryMembership(shared.unnamed).announce(BERT, TTL_S)
    assert await anna.members() == []
    assert shared.foreign.total == 0
    shared.away = False
    for _ in range(ASKED_AGAIN_AFTER):
        found = await anna.members()
    assert found == [BERT]
