"""``booking readmodel rebuild``: how it ends. What it does is in tests/integration/readmodel."""

from __future__ import annotations

import pytest

from booking.cli import main
from booking.cli import readmodel as command
from booking.cli.outcome import DONE, FAILED, WRONG_USAGE
from booking.readmodel.rebuild import Progress

URL = "postgresql://somebody@127.0.0.1:1/nothing"


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOKING_DATABASE_URL", URL)
    monkeypatch.setenv("BOOKING_READ_URL", URL)


def test_without_a_database_to_write_to_it_says_which_setting_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("BOOKING_READ_URL")
    assert main.main(["readmodel", "rebuild"]) == WRONG_USAGE
    assert "BOOKING_READ_URL" in capsys.readouterr().err


def test_a_database_out_of_reach_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["readmodel", "rebuild"]) == FAILED
    said = capsys.readouterr().err
    assert said.startswith("booking: the tables could not be rebuilt: ")
    assert said.count("\n") == 1


def test_it_tells_from_how_many_events_and_how_fast(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def rebuild(dsn: str, journal_dsn: str, journal: object, progress: Progress) -> int:
        assert (dsn, journal_dsn) == (URL, URL)
        progress("reading events", 500, 1_234)
        return 1_234

    monkeypatch.setattr(command, "rebuild", rebuild)
    assert main.main(["readmodel", "rebuild"]) == DONE
    assert "rebuilt from 1,234 events in " in capsys.readouterr().out
