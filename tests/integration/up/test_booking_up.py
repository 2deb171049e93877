"""``booking up`` as people run it: a process, its first screen, its end, and the next start."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import time
import urllib.request
from pathlib import Path

import pytest

from booking.cli.fleet import free_port
from booking.cli.up import PORTS_FROM
from tests.support.processes import is_alive, wait_until
from tests.support.up import READY_MAX_S, get, post, ready, run_cli, shell, up

USER = "5f0c1c7e-3d3b-4c59-9a53-0a1f3c1f7f11"


def test_the_first_screen_is_true_and_its_lines_work_when_pasted(data_dir: Path) -> None:
    began = time.monotonic()
    with ready(data_dir) as running:
        assert time.monotonic() - began < READY_MAX_S
        assert f"data        {data_dir}" in running.said
        assert len(running.pids()) == 3
        assert all(is_alive(pid) for pid in running.pids())

        assert f"company     ./scripts/crowd --url {running.url} " in running.said
        for path in ("/", "/docs"):
            with urllib.request.urlopen(f"{running.url}{path}", timeout=10) as page:
                assert page.status == 200

        psql = re.search(r"^ +(\S+psql -h .+)$", running.said, re.MULTILINE)
        assert psql, running.said
        assert shell(f"{psql[1]} -Atc 'SELECT count(*) FROM concert'").strip() == "14"

        lines = [line for line in running.said.splitlines() if "curl -s" in line]
        assert len(lines) == 3
        for _ in range(2):
            token, dates, charged = shell("\n".join(lines)).strip().splitlines()
            assert re.fullmatch(r"[\w-]{60,}", token)
            assert len(json.loads(dates)["data"]) == 45
            assert json.loads(charged)["data"] == {"balance": 100_000}


def test_console_and_socket_are_named_where_they_are(data_dir: Path) -> None:
    port = free_port(PORTS_FROM, set())
    own = {"BOOKING_ADMIN_PORT": str(port), "BOOKING_ADMIN_TOKEN": secrets.token_hex(32)}
    with ready(data_dir / "of mine", environ=own) as running:
        console = re.search(r"^  console +(\S+) ", running.said, re.MULTILINE)
        assert console, running.said
        assert console[1] == f"http://127.0.0.1:{port}/admin/console"
        with urllib.request.urlopen(console[1], timeout=10) as page:
            assert page.status == 200
        assert "admin token in BOOKING_ADMIN_TOKEN" in running.said
        valkey = re.search(r"^  Valkey +(\S.*?) +\(pid", running.said, re.MULTILINE)
        assert valkey, running.said
        assert Path(valkey[1]).is_socket()


def test_ctrl_c_drains_stops_everything_and_ends_with_0(data_dir: Path) -> None:
    with ready(data_dir) as running:
        pids = running.pids()
        assert running.end(signal.SIGINT) == 0
        assert [pid for pid in pids if is_alive(pid)] == []
        assert running.said.index("draining the service") < running.said.index(
            "stopping the servers"
        )
        assert "Traceback" not in running.said


def test_a_second_start_has_every_charge_and_the_same_secrets(data_dir: Path) -> None:
    with ready(data_dir) as running:
        post(f"{running.url}/user/charge", {"userId": USER, "amount": 700})
        token = post(f"{running.url}/queue/issue", {"userId": USER})["data"]["token"]
        assert running.end(signal.SIGTERM) == 0
    for name in ("token-secret", "admin-token"):
        assert (data_dir / name).stat().st_mode & 0o777 == 0o600
    with ready(data_dir) as running:
        assert get(f"{running.url}/user/check?userId={USER}")["data"] == {"balance": 700}
        request = urllib.request.Request(
            f"{running.url}/concert/available-dates", headers={"queue-token": token}
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            assert response.status == 200
        assert "demo season" not in running.said


def test_every_database_of_a_journal_is_prepared(data_dir: Path, empty_database_url: str) -> None:
    with ready(data_dir, environ={"BOOKING_JOURNAL_URLS": empty_database_url}) as running:
        users = [f"{USER[:-2]}{number:02x}" for number in range(8)]
        for user in users:  # each with an even chance to be in the second database
            post(f"{running.url}/user/charge", {"userId": user, "amount": 500})
        assert running.end(signal.SIGINT) == 0
    assert "database 2 of 2" not in running.said


def test_killing_the_command_leaves_no_process_and_loses_nothing(data_dir: Path) -> None:
    with ready(data_dir) as running:
        post(f"{running.url}/user/charge", {"userId": USER, "amount": 900})
        pids = running.pids()
        running.process.kill()
        wait_until(lambda: not any(map(is_alive, pids)), "all processes are gone", 15)
    with ready(data_dir) as running:
        assert get(f"{running.url}/user/check?userId={USER}")["data"] == {"balance": 900}


def test_killing_the_service_brings_it_back_with_everything(data_dir: Path) -> None:
    with ready(data_dir) as running:
        post(f"{running.url}/user/charge", {"userId": USER, "amount": 300})
        os.kill(running.pids()[0], signal.SIGKILL)
        running.wait_for("starting it again")

        def answers() -> bool:
            try:
                return bool(
                    get(f"{running.url}/user/check?userId={USER}")["data"]["balance"] == 300
                )
            except OSError:
                return False

        wait_until(answers, "the service answers again")


def test_a_second_ctrl_c_ends_at_once_and_still_leaves_no_process(data_dir: Path) -> None:
    with ready(data_dir) as running:
        pids = running.pids()
        os.kill(pids[0], signal.SIGSTOP)  # an instance that does not drain
        running.process.send_signal(signal.SIGINT)
        running.wait_for("draining the service")
        assert running.end(signal.SIGINT) != 0
        wait_until(lambda: not any(map(is_alive, pids)), "all processes are gone", 15)


def test_ctrl_c_while_setting_up_stops_what_there_is(data_dir: Path) -> None:
    with up(data_dir) as running:
        running.wait_for("setting up")
        assert running.end(signal.SIGINT) == 0
        assert "Traceback" not in running.said


def test_a_second_command_on_the_same_data_is_refused(data_dir: Path) -> None:
    with ready(data_dir) as running:
        status, said = run_cli("up", "--port", "0", "--data", str(data_dir))
        assert status == 1
        assert f"pid {running.process.pid}" in said.splitlines()[-1]


def test_a_taken_port_is_told_before_any_server_is_started(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, said = run_cli("up", "--port", str(port), "--data", str(data_dir / "d"))
    assert (status, said) == (
        1,
        f"booking: port {port} on 127.0.0.1 is in use: choose another with --port\n",
    )
    assert not (data_dir / "d").exists()


@pytest.mark.parametrize("count", ["0", "33"])
def test_a_number_of_instances_out_of_range_is_refused(data_dir: Path, count: str) -> None:
    status, said = run_cli("up", "--instances", count, "--data", str(data_dir / "d"))
    assert (status, said) == (2, "booking: --instances must be from 1 to 32\n")


def test_several_instances_cannot_share_one_address(data_dir: Path) -> None:
    environ = {"BOOKING_ADVERTISE_URL": "http://10.0.0.7:8080"}
    arguments = ("--instances", "2", "--port", "0", "--data", str(data_dir / "d"))
    status, said = run_cli("up", *arguments, environ=environ)
    assert status == 2
    assert said.startswith("booking: BOOKING_ADVERTISE_URL is one address")
    assert not (data_dir / "d").exists()


def test_the_operators_ports_may_not_count_up_onto_the_services(data_dir: Path) -> None:
    status, said = run_cli(
        *("up", "--instances", "3", "--port", "20010", "--data", str(data_dir / "d")),
        environ={"BOOKING_ADMIN_PORT": "20009"},
    )
    assert status == 2
    assert "counts up, one for each instance, onto the service's port 20010" in said
    assert not (data_dir / "d").exists()


def test_a_wrong_setting_stops_it_before_any_server_is_started(data_dir: Path) -> None:
    environ = {"BOOKING_HOLD_SECONDS": "soon"}
    status, said = run_cli("up", "--data", str(data_dir / "d"), environ=environ)
    assert status == 2
    assert said.startswith("booking: BOOKING_HOLD_SECONDS must be")
    assert not (data_dir / "d").exists()


def test_without_demo_there_are_no_concerts(data_dir: Path) -> None:
    with ready(data_dir, "--no-demo") as running:
        token = post(f"{running.url}/queue/issue", {"userId": USER})["data"]["token"]
        request = urllib.request.Request(
            f"{running.url}/concert/available-dates", headers={"queue-token": token}
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            assert json.load(response)["data"] == []
