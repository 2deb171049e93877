"""What is told of a server that does not work is its cause, not how it tidied up."""

from __future__ import annotations

from booking.embedded.errors import causes

FULL_DISK = """\
bootstrap script ... 2026-11-24 13:55 UTC [18395] FATAL:  could not write: No space left on device
2026-11-24 13:55:50.941 UTC [18395] HINT:  Check free disk space.
2026-11-24 13:55:50.942 UTC [18395] PANIC:  cannot abort transaction 1, it was already committed
child process exited with exit code 134
initdb: removing data directory "/data/postgres.new"
"""
SHUT_DOWN = """\
2026-11-24 13:00:00.000 UTC [1] FATAL:  the database system is starting up
2026-11-24 13:54:43.107 UTC [2] FATAL:  could not write to file "pg_wal/x": No space left on device
2026-11-24 13:54:43.124 UTC [1] LOG:  startup process (PID 2) exited with exit code 1
2026-11-24 13:54:43.152 UTC [1] LOG:  database system is shut down
"""


def test_of_one_run_the_first_fault_is_the_cause() -> None:
    assert causes(FULL_DISK)[0].endswith("No space left on device")


def test_of_a_log_the_newest_fault_is_the_cause() -> None:
    assert causes(SHUT_DOWN)[-1].endswith("No space left on device")


def test_without_a_marked_line_the_last_one_has_to_do() -> None:
    assert causes("begins\n\nAborted\n")[0] == causes("begins\n\nAborted\n")[-1] == "Aborted"
    assert causes("\n \n")[0] == causes("")[-1] == ""
