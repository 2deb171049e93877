"""What a relay sends to a broker, and when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from actors.address import Address
from actors.consumers.contract import Event
from booking.events.contract import BalanceCharged, CloudEvent
from booking.queue.domain.events import Joined
from booking.relay import brokers
from booking.relay.consumer import Relay, waves
from booking.relay.nats import subject_of
from booking.seats.domain.seat import HoldReleased, SeatHeld, SeatSold
from booking.settings import Settings, SettingsError

SEAT, OTHER = Address("seat", "d", "1"), Address("seat", "d", "2")


def public(number: int, subject: str) -> CloudEvent:
    return CloudEvent(
        id=f"1-{number}",
        source="/booking/x",
        type="booking.balance.charged.v1",
        subject=subject,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        data=BalanceCharged(user_id=subject, amount=1, balance=1),
    )


class Broker:
    """Takes so many waves, and then is away."""

    def __init__(self, waves: int = 1_000) -> None:
        self.left = waves
        self.taken: list[list[str]] = []

    async def publish(self, events: Sequence[CloudEvent]) -> None:
        if len(self.taken) == self.left:
            raise ConnectionError("away")
        self.taken.append([event.id for event in events])

    async def close(self) -> None:
        """There is nothing to close."""


class Places:
    """A connection to a database without places, and what was written there."""

    def __init__(self) -> None:
        self.written: list[tuple[Any, ...]] = []

    async def fetch(self, statement: str, *columns: Any) -> list[Any]:
        return []

    async def execute(self, statement: str, *columns: Any) -> None:
        self.written.append(columns)


def events(*told: tuple[Address, Any]) -> list[Event]:
    return [
        Event(3, seq, address, 1_000, type(each).__name__, each)
        for seq, (address, each) in enumerate(told, 1)
    ]


HELD, SOLD = SeatHeld("r", "u", 9, 1, 1), SeatSold("r", "u", "p", 1)


def test_events_of_one_subject_go_in_different_waves_in_order() -> None:
    found = [public(n, subject) for n, subject in enumerate("abacab")]
    ids = [[event.id for event in wave] for wave in waves(found)]
    assert ids == [["1-0", "1-1", "1-3"], ["1-2", "1-5"], ["1-4"]]


async def test_a_wave_begins_when_the_one_before_is_acknowledged() -> None:
    broker = Broker()
    relay = Relay("relay-x", "/booking/x", lambda: broker)
    await relay.handle(events((SEAT, HELD), (OTHER, HELD), (SEAT, SOLD)), Places())
    assert broker.taken == [["3-1", "3-2"], ["3-3"]]


async def test_a_broker_that_is_away_is_a_passing_fault_and_nothing_is_kept() -> None:
    """Given the second wave fails, then the error is one that consumers wait out, and nothing is
    written, so that the batch is sent again whole."""
    broker, places = Broker(1), Places()
    relay = Relay("relay-x", "/booking/x", lambda: broker)
    batch = events(
        (Address("queue", "main"), Joined("u", 1, 1)), (SEAT, HELD), (SEAT, HoldReleased("r", "u"))
    )
    with pytest.raises(OSError, match="away"):
        await relay.handle(batch, places)
    assert places.written == []
    broker.left = 9
    await relay.handle(batch, places)
    assert broker.taken == [["3-1", "3-2"], ["3-1", "3-2"], ["3-3"]]
    assert places.written == [(["main"], [1], ["u"], [1])]


async def test_a_broker_is_not_looked_for_before_there_is_something_to_publish() -> None:
    """An instance names the relays of its settings without being one."""
    relay = Relay("relay-x", "/booking/x", lambda: pytest.fail("it has nothing to publish"))
    assert relay.consumer().name == "relay-x"
    await relay.close()


def test_the_subject_is_the_type_without_its_version() -> None:
    assert subject_of(public(1, "a")) == "booking.events.balance.charged"


def settings(**more: str) -> Settings:
    return Settings(database_url="postgresql://x/y", redis_url="", token_secrets=(), **more)  # type: ignore[arg-type]


def test_each_broker_has_a_consumer_of_its_own() -> None:
    both = settings(nats_url="nats://a:4222", kafka_brokers="b:9092")
    assert [relay.name for relay in brokers.relays_of(both)] == ["relay-nats", "relay-kafka"]
    assert brokers.relays_of(settings()) == []


def test_a_missing_extra_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brokers, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"pip install 'booking\[relay\]'"):
        brokers.check_installed(settings(nats_url="nats://a:4222"))


def test_an_event_is_small_enough_for_any_broker() -> None:
    """NATS and Kafka take a megabyte by default."""
    assert len(msgspec.json.encode(public(10**18, "u" * 128))) < 2_000
