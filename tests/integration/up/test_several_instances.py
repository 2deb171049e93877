"""`booking up --instances 3` as people try it: one port, three processes, and some of them end."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.processes import is_alive, wait_until
from tests.support.up import Running, get, ready, shell

CLIENTS = 4
TIMEOUT_S = 10.0


class Charging:
    """Clients that charge accounts of their own, each call over a new connection and with a key,
    until they are told to stop. What fails is noted and sent again."""

    def __init__(self, url: str) -> None:
        self.charged: dict[str, int] = {str(uuid.uuid4()): 0 for _ in range(CLIENTS)}
        self.failures: list[str] = []
        self._address = urlsplit(url).netloc
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(user,)) for user in self.charged]

    @property
    def done(self) -> int:
        return sum(self.charged.values())

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def more(self, count: int) -> None:
        """Wait for so many more charges."""
        wanted = self.done + count
        wait_until(lambda: self.done >= wanted, f"{wanted} charges ({self.failures[-3:]})")

    def finish(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def _run(self, user: str) -> None:
        while not self._over.is_set():
            key = str(uuid.uuid4())
            while (problem := self._charge(user, key)) is not None:
                self.failures.append(problem)
                time.sleep(0.05)
            self.charged[user] += 1

    def _charge(self, user: str, key: str) -> str | None:
        """What is wrong with the answer, if anything."""
        connection = http.client.HTTPConnection(self._address, timeout=TIMEOUT_S)
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        body = json.dumps({"userId": user, "amount": 1})
        try:
            connection.request("POST", "/user/charge", body, headers)
            status = connection.getresponse().status
            return None if status == 200 else str(status)
        except (OSError, http.client.HTTPException) as error:
            return repr(error)
        finally:
            connection.close()


@contextmanager
def charging(running: Running) -> Iterator[Charging]:
    """At the end every charge is there exactly once, whoever is asked."""
    clients = Charging(running.url)
    clients.start()
    try:
        clients.more(50)
        yield clients
        clients.more(50)
    finally:
        clients.finish()
    for user, amount in clients.charged.items():
        for url in instances(running).values():
            assert get(f"{url}/user/check?userId={user}")["data"] == {"balance": amount}


def instances(running: Running) -> dict[str, str]:
    """Name to URL, as the first screen has them."""
    return dict(re.findall(r"^  (up-\d) +(http://\S+)", running.said, re.MULTILINE))


def restarted(running: Running, name: str) -> None:
    """Wait until it is started again and ready."""
    running.wait_for(f"{name} is started again as pid")
    url = instances(running)[name]

    def is_ready() -> bool:
        try:
            return bool(get(f"{url}/readyz"))
        except (OSError, http.client.HTTPException):
            # Nobody listens; on loopback one may even meet oneself, with the port's own number.
            return False

    wait_until(is_ready, f"{name} is ready again: {running.said}")


def test_each_instance_is_on_the_first_screen_and_answers_on_its_own(data_dir: Path) -> None:
    with ready(data_dir, "--instances", "3") as running:
        found = instances(running)
        assert list(found) == ["up-1", "up-2", "up-3"]
        assert "3 instances behind it" in running.said
        assert len(set(found.values()) | {running.url}) == 4
        assert all(get(f"{url}/readyz") for url in found.values())
        pids = running.pids()
        assert len(pids) == 5
        assert f"kill -9 {pids[0]}" in running.said
        watch = re.search(r"^(\S+ admin top --url .+)$", running.said, re.MULTILINE)
        assert watch, running.said
        shown = shell(f"{watch[1]} --once")
        assert all(name in shown for name in found), shown
        assert running.end(signal.SIGINT) == 0
        assert [pid for pid in pids if is_alive(pid)] == []
        assert "Traceback" not in running.said, running.said


@pytest.mark.slow
def test_nobody_is_refused_while_each_instance_is_told_to_end_in_turn(data_dir: Path) -> None:
    with ready(data_dir, "--instances", "3") as running, charging(running) as clients:
        for number in (1, 2, 3):
            os.kill(running.pids()[number - 1], signal.SIGTERM)
            restarted(running, f"up-{number}")
            clients.more(50)
        assert clients.failures == []
        assert running.said.count("was told to end and has drained") == 3


def test_a_killed_instance_costs_a_moment_and_comes_back(data_dir: Path) -> None:
    with ready(data_dir, "--instances", "3") as running, charging(running) as clients:
        os.kill(running.pids()[1], signal.SIGKILL)
        clients.more(50)
        restarted(running, "up-2")
        assert "up-2 ended with status -9" in running.said


def test_killing_the_command_leaves_no_instance(data_dir: Path) -> None:
    with ready(data_dir, "--instances", "3") as running:
        pids = running.pids()
        running.process.kill()
        wait_until(lambda: not any(map(is_alive, pids)), "all processes are gone", 15)
