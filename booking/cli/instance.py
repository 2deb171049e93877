"""One `booking serve` as a child process of `booking up`: started, watched, started again."""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping

from booking.cli.serve import EXIT_WITH_STDIN

DEATHS_MAX = 5
"""Deaths within the window that mean a crash loop."""
DEATHS_WINDOW_S = 30.0
BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 4.0
"""0.5 + 1 + 2 + 4 s of waiting between five deaths: still within the window."""

STOP_MAX_S = 30.0
"""What an instance may take for its drain (see ``booking serve``)."""

_PROBE_TIMEOUT_S = 1.0


class InstanceError(Exception):
    """The instance cannot be kept running. ``str()`` is one line."""


class Instance:
    """The child process. Its standard input is a pipe whose end tells it that we are gone."""

    def __init__(
        self, environ: Mapping[str, str], host: str, port: int, say: Callable[[str], None]
    ) -> None:
        self._environ = dict(environ)
        self._host = host
        self._port = port
        self._say = say
        self._deaths: deque[float] = deque(maxlen=DEATHS_MAX)
        self._was_ready = False
        self._start_at_s = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """0 between a death and the next start."""
        return self._process.pid if self._process is not None else 0

    def tend(self, now_s: float) -> None:
        """Start it if it is due, notice its death. :class:`InstanceError` when it is hopeless."""
        if self._process is None:
            if now_s >= self._start_at_s:
                self._start()
            return
        status = self._process.poll()
        if status is None:
            return
        self._forget()
        if not self._was_ready:
            raise InstanceError("the service did not start; its last lines say why")
        self._deaths.append(now_s)
        if len(self._deaths) == DEATHS_MAX and now_s - self._deaths[0] <= DEATHS_WINDOW_S:
            raise InstanceError(
                f"the service died {DEATHS_MAX} times in {DEATHS_WINDOW_S:.0f} s, giving up"
            )
        recent = sum(1 for at_s in self._deaths if now_s - at_s <= DEATHS_WINDOW_S)
        wait_s = min(BACKOFF_FIRST_S * 2 ** (recent - 1), BACKOFF_MAX_S)
        self._start_at_s = now_s + wait_s
        self._say(f"the service ended with status {status}, starting it again in {wait_s:g} s")

    def ready(self) -> bool:
        """Ask ``/readyz``."""
        if self._process is None:
            return False
        client = http.client.HTTPConnection(self._host, self._port, timeout=_PROBE_TIMEOUT_S)
        try:
            client.request("GET", "/readyz")
            is_ready = client.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            client.close()
        self._was_ready = self._was_ready or is_ready
        return is_ready

    def stop(self) -> bool:
        """Ask it to drain and wait for its end; False when it had to be killed."""
        process = self._process
        if process is None:
            return True
        process.terminate()
        try:
            clean = process.wait(STOP_MAX_S) == 0
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            clean = False
        self._forget()
        return clean

    def kill(self) -> None:
        """At once, without waiting."""
        if self._process is not None:
            self._process.kill()

    def age_s(self) -> float:
        """Seconds since the present process was started."""
        return time.monotonic() - self._start_at_s

    def _start(self) -> None:
        self._start_at_s = time.monotonic()
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            # -P: what lies in the current directory is not ours to import.
            [sys.executable, "-P", "-m", "booking.cli.main", "serve", EXIT_WITH_STDIN],
            stdin=subprocess.PIPE,
            env=self._environ,
            start_new_session=True,  # Ctrl-C is for us: we decide in which order things stop
        )

    def _forget(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process = None
