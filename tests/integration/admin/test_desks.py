"""Catalogue and audits of the operators' side, on a real database."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import msgspec
import pytest

from actors.clock import SystemClock
from actors.journal.contract import JournalError
from booking.audit.report import AuditRun, AuditRunningError, AuditState, Findings
from booking.audit.schedule import PERIOD_MIN_MS, REST_FACTOR, Audits
from booking.catalogue import store
from booking.catalogue.problems import DocumentError
from booking.catalogue.store import PostgresCatalogue
from tests.support.api_client import eventually
from tests.support.catalogues import catalogue, concert, date
from tests.support.journals import season, write
from tests.support.manual_clock import ManualClock

pytestmark = pytest.mark.timeout(300)

NOWHERE = "postgresql://127.0.0.1:1/nothing"
AUDIT_MAX_S = 250.0
"""An audit has the lowest priority there is, so on a busy machine it waits for everybody else."""


def text(document: object) -> bytes:
    return msgspec.json.encode(document)


# -- catalogue ------------------------------------------------------------------------------------


async def test_whole_documents_and_single_concerts_are_stored(database_url: str) -> None:
    desk = PostgresCatalogue(database_url)
    saved = await desk.save(text(catalogue(concert("alpha", date("alpha-1"), date("alpha-2")))))
    assert (saved.concerts, saved.dates) == (1, 2)
    later = await desk.save_concert("beta", text(concert("beta", date("beta-1"))))
    assert later.version == saved.version + 1
    found = await store.load(database_url)
    assert sorted(found.schedules) == ["alpha-1", "alpha-2", "beta-1"]
    assert found.version == later.version


async def test_a_concert_under_another_id_is_refused(database_url: str) -> None:
    desk = PostgresCatalogue(database_url)
    with pytest.raises(DocumentError, match="line 1: id: is 'beta'"):
        await desk.save_concert("alpha", text(concert("beta")))
    assert (await store.load(database_url)).schedules == {}


async def test_two_imports_at_a_time_take_their_turns(database_url: str) -> None:
    desk = PostgresCatalogue(database_url)
    both = await asyncio.gather(
        *(desk.save_concert(name, text(concert(name, date(f"{name}-1")))) for name in ("a", "b"))
    )
    assert {saved.version for saved in both} == {1, 2}
    assert len((await store.load(database_url)).schedules) == 2


async def test_a_catalogue_without_its_database_is_out_of_reach() -> None:
    with pytest.raises(JournalError):
        await PostgresCatalogue(NOWHERE).save(text(catalogue()))


# -- audits ---------------------------------------------------------------------------------------


@pytest.fixture
async def audits(database_url: str) -> AsyncIterator[Audits]:
    audits = Audits(database_url, SystemClock())
    yield audits
    await audits.close()


async def ended(audits: Audits, before: AuditRun | None = None) -> AuditRun:
    """The last audit, once there is one that was not there before."""

    async def is_there() -> bool:
        return (await audits.state()).last not in (None, before)

    await eventually(is_there, within_s=AUDIT_MAX_S)
    last = (await audits.state()).last
    assert last is not None
    return last


async def at_rest(audits: Audits) -> None:
    """Wait until none runs."""

    async def nothing_runs() -> bool:
        return (await audits.state()).running_since_ms is None

    await eventually(nothing_runs)


async def test_an_audit_runs_in_the_background_and_everybody_learns_its_verdict(
    audits: Audits, database_url: str
) -> None:
    assert await audits.state() == AuditState(running_since_ms=None, last=None)
    book = season()
    await write(database_url, book.rows, book.epochs())
    await audits.begin("kim (10.0.0.7)")
    assert (await audits.state()).running_since_ms is not None
    last = await ended(audits)
    assert (last.asked_by, last.problem) == ("kim (10.0.0.7)", "")
    assert last.report is not None
    assert last.report.ok
    assert last.report.events == len(book.rows)
    other = Audits(database_url, SystemClock())
    assert (await other.state()).last == last

    await at_rest(audits)


async def test_a_damaged_journal_is_found_out(audits: Audits, database_url: str) -> None:
    book = season()
    await write(database_url, book.rows[:-1][1:], book.epochs())
    await audits.begin("kim")
    last = await ended(audits)
    assert last.report is not None
    assert not last.report.ok


async def test_there_is_one_audit_at_a_time_in_the_cluster(database_url: str) -> None:
    sleeper = (sys.executable, "-c", "import time; time.sleep(60)")
    slow = Audits(database_url, SystemClock(), sleeper)
    other = Audits(database_url, SystemClock())
    try:
        await slow.begin("kim")
        with pytest.raises(AuditRunningError):
            await other.begin("lee")
        assert (await other.state()).running_since_ms is not None
    finally:
        await slow.close()
    await at_rest(other)  # the server notices a moment later that the connection is gone
    await other.begin("lee")
    assert (await ended(other)).asked_by == "lee"
    await other.close()


async def test_an_audit_that_breaks_says_so(database_url: str) -> None:
    broken = Audits(
        database_url, SystemClock(), (sys.executable, "-c", "raise SystemExit('no journal here')")
    )
    await broken.begin("kim")
    last = await ended(broken)
    assert (last.problem, last.report) == ("no journal here", None)
    assert not broken.failed.done()
    await broken.close()


async def test_an_audit_gets_no_secret_of_the_service(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOOKING_ADMIN_TOKEN", "4f1d-the-operators-token-9b7c")
    program = "import os; raise SystemExit(','.join(n for n in os.environ if 'BOOKING' in n))"
    curious = Audits(database_url, SystemClock(), (sys.executable, "-c", program))
    await curious.begin("kim")
    given = set((await ended(curious)).problem.split(","))
    assert given <= {"BOOKING_DATABASE_URL", "BOOKING_JOURNAL_URLS"}
    await curious.close()


async def test_audits_without_their_database_are_out_of_reach() -> None:
    audits = Audits(NOWHERE, SystemClock())
    for asked in (audits.state, lambda: audits.begin("kim")):
        with pytest.raises(JournalError):
            await asked()
    await audits.close()


async def test_one_is_due_an_hour_after_the_last_or_later_if_it_took_long() -> None:
    clock = ManualClock()
    audits = Audits(NOWHERE, clock)
    nothing = AuditState(running_since_ms=None, last=None)
    assert not audits._due(nothing)
    clock.advance(PERIOD_MIN_MS)
    assert audits._due(nothing)
    assert not audits._due(AuditState(running_since_ms=clock.now_ms(), last=None))
    took_s = 2 * PERIOD_MIN_MS / 1000 / REST_FACTOR
    run = AuditRun(
        asked_by="schedule",
        ended_at_ms=clock.now_ms(),
        problem="",
        report=Findings().close(clock.now_ms(), took_s),
    )
    last = AuditState(running_since_ms=None, last=run)
    clock.advance(PERIOD_MIN_MS)
    assert not audits._due(last)
    clock.advance(PERIOD_MIN_MS)
    assert audits._due(last)
