"""``booking relay`` and Kafka: librdkafka's mock brokers, or those of BOOKING_TEST_KAFKA."""

from __future__ import annotations

from tests.integration.relay.conftest import RunRelay, all_done, fill
from tests.support.brokers import in_topic, kafka_brokers, nothing_lost
from tests.support.journal_rows import until
from tests.support.journals import busy_season

TOPIC = "booking.events"


async def test_every_event_is_published_under_its_key(
    database_url: str, run_relay: RunRelay
) -> None:
    """Given a relay that is killed in the middle, then each event is there, in order for each key,
    and a repeat is the same."""
    book = busy_season(900)
    journal = await fill(database_url, book)
    with kafka_brokers() as brokers:
        with run_relay(BOOKING_KAFKA_BROKERS=brokers) as relay:
            assert await in_topic(brokers, TOPIC, journal.source, 1)
            relay.kill()
        with run_relay(BOOKING_KAFKA_BROKERS=brokers):
            await until(lambda: all_done(database_url, book))
        count = len(journal.told)
        nothing_lost(await in_topic(brokers, TOPIC, journal.source, count), journal.told)
