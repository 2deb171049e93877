"""The services of ``examples/services``: repeats, crashes, and what their books say."""

from __future__ import annotations

import io
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.address import Address
from actors.consumers.contract import Event
from booking.accounts.domain.account import PaymentCompleted
from booking.events import contract as public
from booking.events.mapping import Places, decode, translate
from examples.services import desk, notification, settlement
from examples.services.inbox import DECODE, CloudEvent, Service, open_database, take
from tests.support.house import ROOT
from tests.support.journals import JournalBuilder, busy_season, season

SERVICES = [settlement.service, desk.service]


def told(book: JournalBuilder) -> list[CloudEvent]:
    """What the outside is told of a journal, as it reads it."""
    events = []
    for row in book.sorted_rows():
        address = Address.parse(row.address)
        if address.kind != "ledger":
            data = decode(row.type, row.version, msgspec.json.encode(row.payload))
            events.append(Event(row.shard, row.seq, address, row.at_ms, row.type, data))
    return [DECODE(each.encode()) for each in translate(events, "/booking/test", Places())]


def event(kind: str, number: int = 1, **data: Any) -> CloudEvent:
    return CloudEvent(f"7-{number}", kind, datetime(2026, 11, 30, 23, 30, tzinfo=UTC), data)


PAID = event(
    "booking.payment.completed.v1",
    paymentId="pay",
    concertScheduleId="d1",
    seatId="d1-3",
    seatNumber=3,
    userId="u",
    amount=50_000,
)


Opened = Callable[..., sqlite3.Connection]


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Opens databases of services, in memory unless a path is given, and closes them."""
    with ExitStack() as stack:

        def of(service: Service, path: Path | str = ":memory:") -> sqlite3.Connection:
            return stack.enter_context(closing(open_database(service, str(path))))

        yield of


def dump(database: sqlite3.Connection) -> list[str]:
    return sorted(line for line in database.iterdump() if line.startswith("INSERT"))


def test_they_know_every_type_that_they_take() -> None:
    known = set(public.TYPES.values())
    for service in (*SERVICES, notification.service):
        assert set(service.takes) <= known, service.name


def test_they_know_nothing_of_the_service_but_its_events() -> None:
    """Importing them imports nothing of ours."""
    code = (
        "import sys; from examples.services import desk, notification, settlement;"
        "print([m for m in sys.modules if m.partition('.')[0] in ('booking', 'actors')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_repeats_and_crashes_change_nothing(
    service: Service, tmp_path: Path, opened: Opened
) -> None:
    """Given events that come again in any batch, and a process that dies in some of them and opens
    its database again, the books are those of whoever heard each event once."""
    events, draw = told(busy_season(600, users=10)), random.Random(7)
    calm = opened(service)
    take(service, calm, events)
    database = opened(service, tmp_path / "db")
    dying = msgspec.structs.replace(service, takes={**service.takes, "death": die})
    at = 0
    while at < len(events):
        new = events[at : at + draw.randint(1, 40)]
        batch = [*draw.sample(events[:at], min(at, 5)), *new]
        if draw.random() < 0.3:
            batch.insert(draw.randint(0, len(batch)), event("death"))
            with pytest.raises(ZeroDivisionError):
                take(dying, database, batch)
            database.close()
            database = opened(service, tmp_path / "db")
            continue
        take(service, database, batch)
        at += len(new)
    assert dump(database) == dump(calm)


def die(_: sqlite3.Connection, event: CloudEvent) -> None:
    raise ZeroDivisionError(event.id)


def test_the_settlement_has_what_was_paid_for_each_concert_and_day(opened: Opened) -> None:
    book = season()
    database = opened(settlement.service)
    take(settlement.service, database, told(book))
    paid = [row.payload for row in book.rows if row.type == PaymentCompleted.__name__]
    lines = list(settlement.report(database, {"d-one": "alpha", "d-two": "beta"}))
    assert [(line[0], line[2]) for line in lines] == [("alpha", 3), ("beta", 1)]
    assert sum(line[3] for line in lines) == sum(each["amount"] for each in paid)


def test_a_day_is_one_of_the_accountants_zone(opened: Opened) -> None:
    database = opened(settlement.service)
    take(settlement.service, database, [PAID])
    out = io.StringIO()
    settlement.write(settlement.report(database, {"d1": "alpha"}, "Asia/Seoul"), out)
    assert out.getvalue().splitlines() == ["concert,day,seats,won", "alpha,2026-12-01,1,50000"]
    assert [line[1] for line in settlement.report(database, {})] == ["2026-11-30"]


def test_the_catalogue_says_which_concert_a_date_is_of(tmp_path: Path) -> None:
    document = {"concerts": [{"id": "alpha", "dates": [{"id": "d1"}, {"id": "d2"}]}]}
    (tmp_path / "catalogue.json").write_bytes(msgspec.json.encode(document))
    found = settlement.concerts_in(tmp_path / "catalogue.json")
    assert found == {"d1": "alpha", "d2": "alpha"}


def test_the_desk_adds_up_queues_and_dates(
    capsys: pytest.CaptureFixture[str], opened: Opened
) -> None:
    database = opened(desk.service)
    take(desk.service, database, told(season()))
    assert desk.totals(database) == [
        ("d-one", 0, 0, 0, 3, 3_600),
        ("d-two", 0, 0, 1, 1, 2_000),
        ("main", 6, 3, 0, 0, 0),
    ]
    desk.show(database)
    assert "5,600" in capsys.readouterr().out


def test_a_mail_has_the_events_own_id() -> None:
    mail = notification.mail_of(PAID)
    assert mail["Message-ID"] == "<7-1@booking.example>"
    assert mail["To"] == "u@users.example"
    assert mail["Subject"] == "Your seat d1-3"
    assert mail.get_content() == "You paid 50,000 won for seat 3 of d1.\n"


@pytest.mark.parametrize("kind", notification.TEXTS)
def test_every_mail_finds_its_words_in_what_is_told(kind: str) -> None:
    mails = [notification.mail_of(each) for each in told(season()) if each.type == kind]
    assert mails
    assert "{" not in "".join(mail.get_content() for mail in mails)
