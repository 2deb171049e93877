"""Exit statuses and one-line messages of the commands themselves."""

from __future__ import annotations

import signal
import socket
from importlib.metadata import entry_points
from urllib.parse import urlsplit, urlunsplit

import pytest

from booking.cli import entry
from booking.schema import parts
from tests.support.processes import python, wait_until
from tests.support.servers import run

SECRET = "f3b1c05a9d2e47886a10cb5d9e7f2034"


def booking(*arguments: str, environ: dict[str, str] | None = None) -> tuple[int, str]:
    with python("-P", "-m", "booking.cli.main", *arguments, environ=environ) as process:
        said, _ = process.communicate(timeout=40)
        return process.returncode, said


@pytest.mark.parametrize("arguments", [(), ("fly",), ("serve", "--fast"), ("up", "--port", "x")])
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    assert booking(*arguments)[0] == 2


def test_the_version_is_told() -> None:
    status, said = booking("--version")
    assert status == 0
    assert said.startswith("booking ")


INTERRUPTED_WHILE_LOADING = """
import os, signal, sys
from booking.cli import entry
class Interrupts:
    def find_spec(self, name, path, target=None):
        if name == "booking.cli.main":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupts())
entry.main()
"""


def test_ctrl_c_while_it_is_loaded_ends_it_without_a_word() -> None:
    with python("-c", INTERRUPTED_WHILE_LOADING) as process:
        said, _ = process.communicate(timeout=40)
    assert (process.returncode, said) == (-signal.SIGINT, "")


def test_the_installed_command_begins_where_ctrl_c_is_seen_to() -> None:
    (command,) = entry_points(group="console_scripts", name="booking")
    assert command.load() is entry.main


@pytest.mark.parametrize("command", ["serve", "migrate", "audit", "catalog export -"])
def test_a_missing_setting_ends_with_2_and_one_line(command: str) -> None:
    status, said = booking(*command.split())
    assert status == 2
    assert said == "booking: BOOKING_DATABASE_URL is missing: it names the server to use\n"


def test_restore_done_begins_a_new_generation(database_url: str) -> None:
    environ = {"BOOKING_DATABASE_URL": database_url}
    before = run(parts.check([database_url]))
    status, said = booking("restore-done", environ=environ)
    assert (status, said.count("\n")) == (0, 1)
    assert "new generation" in said
    assert run(parts.check([database_url])).generation != before.generation


@pytest.mark.parametrize("command", ["serve", "migrate", "restore-done"])
def test_a_database_out_of_reach_ends_with_1_and_one_line(command: str) -> None:
    environ = {
        "BOOKING_DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/x",
        "BOOKING_REDIS_URL": "redis://127.0.0.1:1",
        "BOOKING_TOKEN_SECRET": SECRET,
    }
    status, said = booking(command, environ=environ)
    assert status == 1
    assert said.count("\n") == 1, said
    assert "hunter2" not in said


def test_migrate_makes_the_tables_and_says_what_it_did(empty_database_url: str) -> None:
    environ = {"BOOKING_DATABASE_URL": empty_database_url}
    status, said = booking("migrate", environ=environ)
    assert status == 0
    assert said.startswith("applied 0001_")
    assert booking("migrate", environ=environ) == (0, "the schema is current\n")


def test_serve_refuses_a_database_without_tables(empty_database_url: str, redis_url: str) -> None:
    status, said = booking("serve", environ=serving(empty_database_url, redis_url))
    assert status == 1
    assert said.count("\n") == 1
    assert "booking migrate" in said


def test_serve_says_that_its_port_is_taken(database_url: str, redis_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        environ = serving(database_url, redis_url) | {"BOOKING_PORT": port}
        status, said = booking("serve", environ=environ)
    assert status == 1
    assert said.splitlines()[-1] == f"booking: port {port} on 127.0.0.1 is in use"


def test_serve_that_redis_refuses_ends_with_1_and_one_line(
    database_url: str, redis_url: str
) -> None:
    """Waiting mends no password; a Redis that is away is no reason not to start."""
    parts = urlsplit(redis_url)
    wrong = parts._replace(netloc=f"nobody:hunter2@{parts.netloc.rpartition('@')[2]}")
    status, said = booking("serve", environ=serving(database_url, urlunsplit(wrong)))
    assert status == 1
    assert said.splitlines()[-1].startswith("booking: cannot start: BOOKING_REDIS_URL: "), said
    assert "Traceback" not in said
    assert "hunter2" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_drains_and_ends_with_0(
    database_url: str, redis_url: str, number: signal.Signals
) -> None:
    environ = serving(database_url, redis_url)
    with python("-P", "-m", "booking.cli.main", "serve", environ=environ) as process:
        assert process.stdout is not None
        said = ""
        while "serving on" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        process.send_signal(number)
        rest, _ = process.communicate(timeout=35)
        assert process.returncode == 0, said + rest
        assert "stopped" in rest


def test_serve_ends_with_its_parent_when_asked_to(database_url: str, redis_url: str) -> None:
    environ = serving(database_url, redis_url)
    command = ("-P", "-m", "booking.cli.main", "serve", "--exit-with-stdin")
    with python(*command, environ=environ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        while "serving on" not in process.stdout.readline():
            assert process.poll() is None
        process.stdin.close()
        process.stdin = None
        wait_until(lambda: process.poll() is not None, "the instance ends")


def serving(database_url: str, redis_url: str) -> dict[str, str]:
    return {
        "BOOKING_DATABASE_URL": database_url,
        "BOOKING_REDIS_URL": redis_url,
        "BOOKING_TOKEN_SECRET": SECRET,
        "BOOKING_HOST": "127.0.0.1",
        "BOOKING_PORT": "0",
        "BOOKING_LOG": "text",
    }
