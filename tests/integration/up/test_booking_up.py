"""``booking up`` as people run it: a process, its first screen, its end, and the next start."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import is_alive, processes_naming, python, wait_until
from tests.support.servers import temporary_data_dir

READY_MAX_S = 30.0
"""The service aims at 3 s; a machine that runs other tests too may need more."""

USER = "5f0c1c7e-3d3b-4c59-9a53-0a1f3c1f7f11"


class Running:
    """A `booking up` and everything it has said so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def said(self) -> str:
        return "".join(self.lines)

    @property
    def url(self) -> str:
        found = re.search(r"^  service +(http://\S+)", self.said, re.MULTILINE)
        assert found, self.said
        return found[1]

    def wait_for(self, text: str, limit_s: float = READY_MAX_S) -> None:
        def has_come() -> bool:
            assert self.process.poll() is None or text in self.said, self.said
            return text in self.said

        wait_until(has_come, f"{text!r} is said; said so far:\n{self.said}", limit_s)

    def pids(self) -> list[int]:
        return [int(pid) for pid in re.findall(r"\(pid (\d+)\)", self.said)]

    def end(self, number: signal.Signals) -> int:
        """Send a signal to the command alone and wait for its exit status."""
        self.process.send_signal(number)
        status = self.process.wait(40)
        self._reader.join(10)
        return status


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with temporary_data_dir() as path:
        yield path


@contextmanager
def up(data_dir: Path, *options: str, environ: dict[str, str] | None = None) -> Iterator[Running]:
    command = ("-P", "-m", "booking.cli.main", "up", "--port", "0", "--data", str(data_dir))
    with python(*command, *options, environ=environ) as process:
        running = Running(process)
        yield running
        if process.poll() is None:
            running.end(signal.SIGTERM)
    wait_until(lambda: not processes_naming(data_dir), f"no process uses {data_dir}")


@contextmanager
def ready(data_dir: Path, *options: str, **more: Any) -> Iterator[Running]:
    with up(data_dir, *options, **more) as running:
        running.wait_for("Ctrl-C stops everything")
        yield running


def run_cli(*arguments: str, environ: dict[str, str] | None = None) -> tuple[int, str]:
    with python("-P", "-m", "booking.cli.main", *arguments, environ=environ) as process:
        said, _ = process.communicate(timeout=40)
        return process.returncode, said


def shell(script: str) -> str:
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=40)
    assert done.returncode == 0, done.stderr
    return done.stdout


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def get(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=10) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


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
        assert shell(f"{psql[1]} -Atc 'SELECT count(*) FROM concert'").strip() == "12"

        lines = [line for line in running.said.splitlines() if "curl -s" in line]
        assert len(lines) == 3
        for _ in range(2):
            token, dates, charged = shell("\n".join(lines)).strip().splitlines()
            assert re.fullmatch(r"[\w-]{60,}", token)
            assert len(json.loads(dates)["data"]) == 41
            assert json.loads(charged)["data"] == {"balance": 100_000}


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


@pytest.mark.parametrize("count", ["0", "9"])
def test_a_number_of_instances_out_of_range_is_refused(data_dir: Path, count: str) -> None:
    status, said = run_cli("up", "--instances", count, "--data", str(data_dir / "d"))
    assert (status, said) == (2, "booking: --instances must be from 1 to 8\n")


def test_several_instances_cannot_share_one_address(data_dir: Path) -> None:
    environ = {"BOOKING_ADVERTISE_URL": "http://10.0.0.7:8080"}
    arguments = ("--instances", "2", "--port", "0", "--data", str(data_dir / "d"))
    status, said = run_cli("up", *arguments, environ=environ)
    assert status == 2
    assert said.startswith("booking: BOOKING_ADVERTISE_URL is one address")
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
