"""Processes that the bench starts: begun, waited for, measured and ended by their own id."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

RUN_S_MAX = 1800.0
"""Of one command: the audit of 10,000,000 events takes two minutes on an idle machine."""
STOP_S_MAX = 35.0
"""The service promises to be gone 30 s after SIGTERM."""


class ProcessFailedError(Exception):
    """A process ended, or did not get ready in time."""


class Child:
    """One process in its own session, so that Ctrl-C reaches the bench alone, which then ends it
    in order. Its standard input is a pipe: end of file tells it that the bench is gone."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        before: Callable[[], object] | None = None,
    ) -> None:
        """``before`` runs in the new process, ahead of the command."""
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own command lines
                list(command),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
                preexec_fn=before,  # noqa: PLW1509 - only runs that start no thread give one
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ended(self) -> bool:
        """Whether it has."""
        return self._process.poll() is not None

    def check(self) -> None:
        """Raises :class:`ProcessFailedError` if it has ended."""
        code = self._process.poll()
        if code is not None:
            raise ProcessFailedError(f"{self.name} ended with {code}:\n{self.tail()}")

    def tail(self, lines: int = 15) -> str:
        """The end of what it printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self, how: signal.Signals = signal.SIGTERM) -> float:
        """End it, and return how many seconds that took; killed if it takes too long."""
        began = time.monotonic()
        if self._process.poll() is None:
            self._process.send_signal(how)
            try:
                self._process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        return time.monotonic() - began


def run_to_end(
    name: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    timeout_s: float = RUN_S_MAX,
    *,
    well: Collection[int] = (0,),
) -> str:
    """Run a command and return what it printed; :class:`ProcessFailedError` if its exit status is
    none of ``well``."""
    done = subprocess.run(  # noqa: S603 - our own command lines
        list(command),
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if done.returncode not in well:
        raise ProcessFailedError(
            f"{name} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return done.stdout


def cpu_seconds(pid: int | None) -> float:
    """CPU time a process has used so far, in steps of 10 ms; 0 where the system does not tell."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def family_cpu_seconds(pid: int | None) -> float:
    """CPU time of a process and its children, living or ended: of PostgreSQL, all its backends."""
    fields = _stat(pid)
    if not fields:
        return 0.0
    ended = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:  # a kernel without it
        return 0.0
    return cpu_seconds(pid) + ended + sum(cpu_seconds(int(child)) for child in children)


def memory_mb(pid: int | None) -> float:
    """Resident memory of a process in units of 10^6 bytes; 0 where the system does not tell."""
    fields = _stat(pid)
    return int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6 if fields else 0.0


def _stat(pid: int | None) -> list[str]:
    """The fields of ``/proc/PID/stat`` from the third on."""
    if pid is None or sys.platform != "linux":
        return []
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:  # it has just ended
        return []
    return text[text.rindex(")") + 2 :].split()
