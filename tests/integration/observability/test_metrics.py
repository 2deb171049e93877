"""``/metrics`` of a real service, and the page that explains it."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from booking.catalogue import document
from booking.catalogue.demo import demo_catalogue
from booking.instance.metrics import MEANINGS
from booking_client import AsyncBooking, Refused
from tests.support.api_client import Api
from tests.support.house import ROOT
from tests.support.journal_rows import until
from tests.support.service import StartService

PAGE = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \|\s*([^|]*?)\s*\| ([^|]+) \|$", re.MULTILINE)
OURS = ("booking_", "http_")


async def exposition(url: str) -> str:
    async with Api(url) as api:
        return bytes((await api.call("GET", "/metrics")).body).decode()


async def a_sale(url: str) -> tuple[str, str]:
    """A whole booking, a hold given back, a refusal: every counter but the rare ones moves. The
    user and the token."""
    user = str(uuid.uuid4())
    async with AsyncBooking(url) as booking:
        token = (await booking.issue(user)).token
        date = (await booking.dates(token))[0]
        seat, other = (await booking.seats(token, date.id))[:2]
        held = await booking.reserve(token, seat.id)
        await booking.release(token, (await booking.reserve(token, other.id)).id)
        await booking.charge(user, held.price)
        await booking.pay(token, seat.id)
        with pytest.raises(Refused):
            await booking.seats(token, date.id)
    return user, token


def told(text: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Each metric of ours by the name that queries use: its kind and its labels."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for family in text_string_to_metric_families(text):
        if family.name.startswith(OURS):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = {label for sample in family.samples for label in sample.labels}
            found[name] = (family.type, tuple(sorted(labels - {"le"})))
    return found


async def test_every_metric_is_explained_and_every_explained_one_is_there(
    start_service: StartService,
) -> None:
    demo = msgspec.json.decode(document.encode(demo_catalogue(datetime.now(UTC))))
    url = (await start_service(demo, BOOKING_WEBHOOKS="on")).url
    await a_sale(url)
    written = {
        name: (kind, tuple(sorted(re.findall(r"\w+", labels))))
        for name, kind, labels, _ in ROW.findall(PAGE)
    }
    found = told(await exposition(url))
    assert {name: kind for name, (kind, _) in found.items()} == {
        name: kind for name, (kind, _) in written.items()
    }
    # Labels show with the first value, and there are no peers here, and no operator.
    labelled = {name: labels for name, (_, labels) in found.items() if labels}
    assert labelled == {name: written[name][1] for name in labelled}
    assert len(labelled) >= 5


async def test_the_page_and_the_exposition_use_the_same_words(running_service: str) -> None:
    written = {name: words for name, _, _, words in ROW.findall(PAGE)}
    assert {name: written[f"booking_{name}"] for name in MEANINGS} == dict(MEANINGS)
    text = await exposition(running_service)
    for name, words in MEANINGS.items():
        if name != "last_commit_age_seconds":  # there is none before the first commit
            assert f"# HELP booking_{name} {words}" in text


async def test_what_happened_is_counted_once_and_names_nobody(running_service: str) -> None:
    user, token = await a_sale(running_service)

    async def queue_has_heard() -> bool:
        """The queue is told of a used token behind the payment's answer."""
        return "booking_queue_tokens_used_total 1.0" in await exposition(running_service)

    await until(queue_has_heard)
    text = await exposition(running_service)
    values = {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("booking_")
    }
    for name, count in {
        "queue_joins_total": 1,
        "queue_admissions_total": 1,
        "queue_tokens_used_total": 1,
        "queue_tokens_expired_total": 0,
        "seats_held_total": 2,
        "seats_released_total": 1,
        "seats_sold_total": 1,
        "payments_completed_total": 1,
        "charges_total": 1,
    }.items():
        assert values[f"booking_{name}"] == count, name
    assert values["booking_paid_won_total"] == values["booking_charged_won_total"] > 0
    assert 'booking_refusals_total{code="token_expired"} 1.0' in text
    assert user not in text
    assert token not in text


def test_names_follow_the_conventions() -> None:
    for name, kind, _, _ in ROW.findall(PAGE):
        assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search(r"(_ms|_milliseconds|_percent|_average|_count)$", name), name
