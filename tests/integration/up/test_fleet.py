"""Several instances behind one port, as `booking up` keeps them, with stand-ins for instances."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from booking.cli.fleet import Fleet, free_port, open_port
from booking.cli.instance import BACKOFF_MAX_S, DEATHS_MAX, Instance, InstanceError
from booking.cli.up import PORTS_FROM
from booking.settings import Settings
from tests.support.processes import REPO, is_alive, python_environ, wait_until

FAKE = (sys.executable, str(REPO / "tests" / "support" / "fake_instance.py"))


def settings(**environ: str) -> Settings:
    given = {"BOOKING_DATABASE_URL": "postgresql:///x", "BOOKING_HOST": "127.0.0.1", **environ}
    return Settings.from_env(given, serving=False)


class Kept:
    """A fleet of three with what it said."""

    def __init__(self, crash_file: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        given = settings(BOOKING_PORT=str(port))
        self.said: list[str] = []
        self.port = open_port(given)
        environ = python_environ({"CRASH_FILE": str(crash_file)})
        self.fleet = Fleet(environ, given, self.port, 3, self.said.append, FAKE)

    def tended_until(self, what: str) -> None:
        def done() -> bool:
            self.fleet.tend(time.monotonic())
            return any(what in line for line in self.said)

        wait_until(done, f"{what!r} is said, not only {self.said}")

    def answered_by(self, url: str) -> str:
        with urllib.request.urlopen(f"{url}/x", timeout=10) as answer:
            return str(answer.read().decode())


@pytest.fixture
def crash_file(tmp_path: Path) -> Path:
    return tmp_path / "crash"


@pytest.fixture
def kept(crash_file: Path) -> Iterator[Kept]:
    started = Kept(crash_file)
    try:
        started.fleet.tend(time.monotonic())
        wait_until(started.fleet.ready, "all three are ready")
        yield started
    finally:
        started.fleet.stop()


def pids(fleet: Fleet) -> list[int]:
    return [instance.pid for instance in fleet.instances]


def test_each_answers_on_its_own_port_and_somebody_on_the_common_one(kept: Kept) -> None:
    urls = [instance.place.url for instance in kept.fleet.instances]
    assert [kept.answered_by(url) for url in urls] == ["up-1", "up-2", "up-3"]
    assert kept.answered_by(kept.fleet.url) in {"up-1", "up-2", "up-3"}


def test_a_killed_one_is_started_again_and_the_others_stay(kept: Kept) -> None:
    before = pids(kept.fleet)
    os.kill(before[1], signal.SIGKILL)
    kept.tended_until("up-2 is started again")
    after = pids(kept.fleet)
    assert (after[0], after[2]) == (before[0], before[2])
    assert after[1] not in before
    wait_until(kept.fleet.ready, "all three are ready again")
    assert "up-2 ended with status -9, starting it again in 0.5 s" in kept.said


def test_an_instance_that_was_told_to_end_is_restarted_at_once(kept: Kept) -> None:
    for _ in range(DEATHS_MAX + 1):
        kept.said.clear()
        os.kill(pids(kept.fleet)[0], signal.SIGTERM)
        kept.tended_until("up-1 is started again")
        assert kept.said[0] == "up-1 was told to end and has drained, starting it again"
        wait_until(kept.fleet.ready, "it is ready again")


def test_a_crash_loop_is_told_and_the_others_go_on(kept: Kept, crash_file: Path) -> None:
    crash_file.touch()
    kept.tended_until("up-2 died 5 times in 30 s, giving up; the others go on without it")
    began_s = time.monotonic()
    for step in range(100):
        kept.fleet.tend(began_s + step * BACKOFF_MAX_S)
    assert pids(kept.fleet)[1] == 0, "given up is given up"
    assert kept.answered_by(kept.fleet.url) in {"up-1", "up-3"}


def test_the_port_of_a_dead_one_may_be_taken_by_somebody_else(kept: Kept) -> None:
    second = kept.fleet.instances[1]
    port = second.place.port
    os.kill(second.pid, signal.SIGKILL)
    kept.tended_until("up-2 ended")
    with socket.create_server(("127.0.0.1", port)):
        kept.tended_until("up-2 is started again")
        assert second.place.port != port
        wait_until(kept.fleet.ready, "it is ready elsewhere")
        assert kept.answered_by(second.place.url) == "up-2"


def test_all_drain_at_the_same_time_and_the_port_is_closed_first(kept: Kept) -> None:
    running = pids(kept.fleet)
    assert kept.fleet.stop()
    assert [pid for pid in running if is_alive(pid)] == []
    with pytest.raises(OSError, match="refused"):
        kept.answered_by(kept.fleet.url)


def test_one_that_does_not_drain_is_killed_and_told(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("booking.cli.fleet.STOP_MAX_S", 0.5)
    stuck = pids(kept.fleet)[2]
    os.kill(stuck, signal.SIGSTOP)
    assert not kept.fleet.stop()
    assert not is_alive(stuck)


def test_one_that_is_told_to_end_before_it_is_loaded_has_ended_in_order() -> None:
    loading = (sys.executable, "-c", "import time; time.sleep(60)")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        fleet = Fleet(python_environ(), settings(), listening, 2, print, loading)
        fleet.tend(time.monotonic())
        assert fleet.stop()


def noticed(fleet: Fleet) -> bool:
    """Not in the return value, but as an exception."""
    fleet.tend(time.monotonic())
    return False


def test_one_that_does_not_even_start_is_the_end() -> None:
    given = settings()
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        fails = (sys.executable, "-c", "raise SystemExit(1)")
        fleet = Fleet(python_environ(), given, listening, 2, said.append, fails)
        try:
            with pytest.raises(InstanceError, match=r"up-[12] did not start"):
                wait_until(partial(noticed, fleet), "it is noticed")
        finally:
            fleet.stop()


def test_each_gets_a_name_and_ports_of_its_own() -> None:
    given = settings(BOOKING_PORT="20000", BOOKING_ADMIN_PORT="21000")
    environ = {"BOOKING_INSTANCE": "here", "BOOKING_HOST": "0.0.0.0", "BOOKING_LOG": "text"}
    with socket.create_server(("127.0.0.1", 0)) as listening:
        fleet = Fleet(environ, given, listening, 3, print)
        told = [dict(instance.place.environ) for instance in fleet.instances]
        fleet.stop()
    assert [each["BOOKING_INSTANCE"] for each in told] == ["here-1", "here-2", "here-3"]
    assert [each["BOOKING_ADMIN_PORT"] for each in told] == ["21000", "21001", "21002"]
    assert len({each["BOOKING_PORT"] for each in told}) == 3
    for each in told:
        assert each["BOOKING_ADVERTISE_URL"] == f"http://127.0.0.1:{each['BOOKING_PORT']}"
        assert (each["BOOKING_HOST"], each["BOOKING_LOG"]) == ("127.0.0.1", "text")


def test_the_instances_own_ports_keep_clear_of_the_operators_ports() -> None:
    service_port = free_port(PORTS_FROM, set())
    given = settings(BOOKING_PORT=str(service_port), BOOKING_ADMIN_PORT=str(service_port + 1))
    with socket.create_server(("127.0.0.1", service_port)) as listening:
        fleet = Fleet({}, given, listening, 3, print)
        told = [dict(instance.place.environ) for instance in fleet.instances]
        fleet.stop()
    ports = [each[name] for each in told for name in ("BOOKING_PORT", "BOOKING_ADMIN_PORT")]
    assert len({*ports, str(service_port)}) == 7


def test_a_taken_port_is_told_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InstanceError, match=f"port {port} on 127.0.0.1 is in use"):
            open_port(settings(BOOKING_PORT=str(port)))


def test_a_single_instance_listens_on_the_port_itself() -> None:
    fleet = Fleet({}, settings(BOOKING_PORT="20000"), None, 1, print)
    (only,) = fleet.instances
    assert isinstance(only, Instance)
    assert (only.title, only.place.url) == ("the service", fleet.url)
