"""``booking up --relay``, as docs/how-to/follow-with-nats.md tells it."""

from __future__ import annotations

import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.support.house import ROOT
from tests.support.processes import wait_until
from tests.support.up import post, ready, run_cli

PAGE = ROOT / "docs" / "how-to" / "follow-with-nats.md"


def test_the_page_s_follower_sees_what_happens(data_dir: Path, tmp_path: Path) -> None:
    """Given the program of the page, when money is charged, then it tells so."""
    [program] = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    with ready(data_dir, "--relay", "--no-demo") as running:
        found = re.search(r"^  NATS +(nats://\S+) ", running.said, re.MULTILINE)
        assert found, running.said
        user = str(uuid.uuid4())
        post(f"{running.url}/user/charge", {"userId": user, "amount": 5_000})
        seen = tmp_path / "seen"
        command = [sys.executable, "-u", "-c", program.replace("nats://127.0.0.1:4222", found[1])]
        with seen.open("wb") as out, subprocess.Popen(command, stdout=out) as follower:
            try:
                wait_until(lambda: "'balance': 5000" in seen.read_text(), "the charge is told")
            finally:
                follower.kill()
        assert f"booking.balance.charged.v1 user/{user}\n" in seen.read_text()
        assert len(running.pids()) == 4, "the service, PostgreSQL, Valkey and NATS"


def test_a_relay_without_a_broker_is_refused_in_one_line() -> None:
    environ = {"BOOKING_DATABASE_URL": "postgresql:///x"}
    status, said = run_cli("relay", environ=environ)
    assert status == 2
    assert said.startswith("booking: BOOKING_NATS_URL or BOOKING_KAFKA_BROKERS is missing")
    assert said.count("\n") == 1


@pytest.mark.parametrize("port", ["0", "65536"])
def test_a_port_for_numbers_has_to_be_one(port: str) -> None:
    assert run_cli("relay", "--metrics-port", port)[0] == 2
