"""A crowd goes to this machine and nowhere else, in bounded numbers."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from booking.cli.main import build_parser, main
from booking.crowd.fan import Tally
from booking.crowd.run import CrowdError, loopback_url


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8080", "http://127.8.7.6:1", "http://localhost:8080", "http://[::1]:8080"],
)
def test_this_machine_is_a_target(url: str) -> None:
    assert loopback_url(f"{url}/") == url


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1:8080",
        "http://0.0.0.0:8080",
        "http://[2001:db8::1]/",
        "https://127.0.0.1:8080",
        "http://user@127.0.0.1",
        "http://127.0.0.1:99999",
        "ftp://localhost",
        "127.0.0.1:8080",
        "",
    ],
)
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(CrowdError):
        loopback_url(url)


def test_a_name_that_also_leads_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def two_addresses(*_: Any, **__: Any) -> list[Any]:
        return [(0, 0, 0, "", (address, 80)) for address in ("127.0.0.1", "192.0.2.1")]

    monkeypatch.setattr(socket, "getaddrinfo", two_addresses)
    with pytest.raises(CrowdError, match="not this machine"):
        loopback_url("http://both.example")


@pytest.mark.parametrize("options", [["--fans", "0"], ["--fans", "5001"], ["--seconds", "3601"]])
def test_numbers_are_bounded(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(["crowd", *options])
    assert ended.value.code == 2
    assert "has to be from 1 to" in capsys.readouterr().err


def test_another_host_ends_the_command_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["crowd", "--url", "http://192.0.2.1:8080"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_line_tells_what_everybody_does() -> None:
    tally = Tally()
    tally.change("away", "waiting")
    tally.change("away", "inside")
    tally.change("inside", "holding")
    tally.paid = 3
    line = tally.line(9.6)
    for words in ("waiting 1,", "inside 1, of them holding 1;", "paid 3,", "10 s left"):
        assert words in line
