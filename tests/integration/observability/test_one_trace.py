"""Two instances as processes, and a collector: each request is one trace, wherever its entities
live."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.address import Address
from booking.catalogue import document, store
from booking.catalogue.domain import MAIN_QUEUE
from booking.entities import account_address, queue_address, seat_address
from tests.support.api_client import Api, eventually, new_user
from tests.support.catalogues import catalogue, concert, date
from tests.support.cluster import Cluster, cluster
from tests.support.collector import Collected, Collector, collector
from tests.support.service import SECRET

CATALOGUE = catalogue(concert("alpha", date("alpha-1")))
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ROOT = "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{ROOT}-01"}
NOT_SAMPLED = {"traceparent": f"00-{TRACE}-{ROOT}-00"}
SEAT = "alpha-1-7"


class Traced:
    """The cluster, the collector, and who owns what."""

    def __init__(self, running: Cluster, collector: Collector, owners: dict[int, str]) -> None:
        self.running = running
        self.collector = collector
        self._owners = owners
        self.asked, self.other = running.instances

    def owner(self, address: Address) -> str:
        return self._owners[address.slot]

    def user_of(self, instance: str) -> str:
        """A user whose account lives there."""
        users = (new_user() for _ in range(1_000))
        return next(user for user in users if self.owner(account_address(user)) == instance)

    def decision(self, address: Address, command: str, *beneath: Any, commits: bool = True) -> Any:
        """What a decision leaves in a trace that came in at the asked instance."""
        return self.decision_from(self.asked.name, address, command, *beneath, commits=commits)

    def decision_from(
        self, asking: str, address: Address, command: str, *beneath: Any, commits: bool = True
    ) -> Any:
        owner = self.owner(address)
        commit: list[Any] = [("internal", "commit", owner, [])] if commits else []
        kind = "internal" if owner == asking else "server"
        decision = (kind, f"decide {command}", owner, [*commit, *beneath])
        return decision if owner == asking else ("client", f"ask {command}", asking, [decision])

    async def becomes(self, expected: list[Any]) -> None:
        """Fails unless the caller's trace is this tree in the end."""

        async def whole() -> bool:
            return self.collector.tree(TRACE, ROOT) == expected

        try:
            await eventually(whole)
        except AssertionError:
            assert self.collector.tree(TRACE, ROOT) == expected
            raise


@pytest.fixture
async def traced(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Traced]:
    await store.save(database_url, document.parse(msgspec.json.encode(CATALOGUE)))
    async with collector() as collecting:
        settings: dict[str, Any] = {
            "BOOKING_TRACING": "otlp",
            "BOOKING_LOG": "json",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collecting.url,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        async with cluster(database_url, redis_url, tmp_path, 2, **settings) as running:
            owners = {shard: owner for shard, (owner, _) in (await running.owners()).items()}
            yield Traced(running, collecting, owners)


def only(spans: list[Collected], fits: Callable[[Collected], bool]) -> Collected:
    (found,) = [span for span in spans if fits(span)]
    return found


async def test_a_charge_of_an_account_elsewhere_is_one_trace_to_its_commit(traced: Traced) -> None:
    user = traced.user_of(traced.other.name)
    async with Api(traced.asked.url) as api:
        body = {"userId": user, "amount": 500}
        reply = await api.call("POST", "/user/charge", body=body, headers=SAMPLED)
        assert reply.data == {"balance": 500}
    address = account_address(user)
    beneath = [traced.decision(address, "Charge")]
    await traced.becomes([("server", "POST /user/charge", traced.asked.name, beneath)])

    edge, ask, decision, commit = traced.collector.of(TRACE)
    assert edge.facts["http.route"] == "/user/charge"
    assert edge.facts["http.response.status_code"] == 200
    owner, epoch = (await traced.running.owners())[address.slot]
    assert owner == traced.other.name
    for span in (ask, decision, commit):
        assert (span.facts["booking.shard"], span.facts["booking.epoch"]) == (address.slot, epoch)
        assert not span.failed
    assert (ask.facts["booking.peer"], ask.facts["booking.hop"]) == (owner, 1)
    assert decision.facts["booking.reply"] == "ChargeDone"
    assert commit.facts["booking.batch.commits"] >= 1
    assert commit.facts["booking.batch.rows"] >= commit.facts["booking.rows"] >= 1
    assert (decision.events, commit.events) == (["turn"], ["sent"])
    assert edge.began_ns <= ask.began_ns <= commit.ended_ns <= ask.ended_ns <= edge.ended_ns
    assert user.encode() not in traced.collector.received
    assert user.replace("-", "").encode() not in traced.collector.received


async def test_a_whole_booking_is_one_trace_over_both_instances(traced: Traced) -> None:
    """All calls of one client in a trace of the client's own. The payment's saga goes on in it."""
    queue, seat = queue_address(MAIN_QUEUE), seat_address("alpha-1", 7)
    # The account where the seats are not: so some of it is elsewhere, whoever owns the queue.
    here, there = traced.asked.name, traced.other.name
    user = traced.user_of(there if traced.owner(seat) == here else here)
    account = account_address(user)
    async with Api(traced.asked.url) as api:
        key = {**SAMPLED, "Idempotency-Key": "once"}
        entered = await api.call("POST", "/queue/issue", body={"userId": user}, headers=SAMPLED)
        token = entered.data["token"]
        charge = {"userId": user, "amount": 5_000}
        await api.call("POST", "/user/charge", body=charge, headers=key)
        body = {"seatId": SEAT}
        for path in ("/reservation", "/payment"):
            done = await api.call("POST", path, body=body, token=token, headers=key)
            assert done.status == 201, done

    decision = traced.decision
    home = traced.owner(account)
    ended = traced.decision_from(home, queue, "UseToken")
    steps = [
        traced.decision_from(home, seat, "ConfirmSale"),
        traced.decision_from(home, account, "SettlePayment", ended),
    ]
    calls = {
        "POST /queue/issue": [decision(queue, "Join")],
        "POST /user/charge": [decision(account, "Charge")],
        "POST /reservation": [
            decision(
                seat, "HoldSeat", traced.decision_from(traced.owner(seat), account, "NoteOutcome")
            ),
        ],
        "POST /payment": [decision(account, "Pay", *steps)],
    }
    expected = [("server", name, here, beneath) for name, beneath in calls.items()]
    await traced.becomes(expected)
    spans = traced.collector.of(TRACE)
    assert {span.instance for span in spans} == {here, there}
    sold = only(spans, lambda span: span.name == "decide ConfirmSale")
    assert sold.facts["booking.shard"] == seat.slot
    for secret in (user, token, SECRET):
        assert secret.encode() not in traced.collector.received


async def test_an_untraced_request_begins_a_trace_an_unsampled_one_none(traced: Traced) -> None:
    user = traced.user_of(traced.other.name)
    body = {"userId": user, "amount": 500}
    async with Api(traced.asked.url) as api:
        await api.call("POST", "/user/charge", body=body)
        await api.call("POST", "/user/charge", body=body, headers=NOT_SAMPLED)
    # Both send what they have when they end.
    assert await asyncio.gather(*(one.end() for one in traced.running.instances)) == [0, 0]
    assert traced.collector.of(TRACE) == []
    edge = only(traced.collector.spans, lambda span: span.kind == "server" and not span.parent)
    beneath = [traced.decision(account_address(user), "Charge")]
    assert traced.collector.tree(edge.trace, "") == [
        ("server", "POST /user/charge", traced.asked.name, beneath)
    ]
