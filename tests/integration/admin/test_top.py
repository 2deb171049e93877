"""`booking admin top` on a terminal: drawn in place, and gone without a trace."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import sys
import termios
from collections.abc import AsyncIterator, Callable

import pytest

from tests.support.admin_edge import TOKEN, AdminEdge, running_admin
from tests.support.edge import eventually
from tests.support.processes import REPO, python_environ

WAIT_MAX_S = 20.0


class Terminal:
    """A pseudo-terminal with the command in it."""

    def __init__(self, url: str) -> None:
        self._environ = python_environ(
            {
                "BOOKING_URL": url,
                "BOOKING_ADMIN_TOKEN": TOKEN,
                "TERM": "xterm",
                "COLUMNS": "120",
                "LINES": "40",
            }
        )
        self.screen, self._inside = pty.openpty()
        self.before = termios.tcgetattr(self._inside)
        self.text = ""
        self.process: asyncio.subprocess.Process

    async def run(self, *args: str) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "booking.cli.main", "admin", "top", *args),
            stdin=self._inside,
            stdout=self._inside,
            stderr=self._inside,
            env=self._environ,
            cwd=REPO,
        )
        asyncio.get_running_loop().add_reader(self.screen, self._read)

    def _read(self) -> None:
        self.text += os.read(self.screen, 65_536).decode()

    def press(self, key: bytes) -> None:
        os.write(self.screen, key)

    async def shows(self, condition: Callable[[str], bool]) -> None:
        def it_does() -> bool:
            assert self.process.returncode is None, self.text
            return condition(self.text)

        await eventually(it_does, WAIT_MAX_S)

    async def ended(self) -> int:
        async with asyncio.timeout(WAIT_MAX_S):
            return await self.process.wait()

    @property
    def after(self) -> object:
        return termios.tcgetattr(self._inside)

    async def close(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        asyncio.get_running_loop().remove_reader(self.screen)
        os.close(self.screen)
        os.close(self._inside)


@pytest.fixture
async def admin() -> AsyncIterator[AdminEdge]:
    async with running_admin() as started:
        yield started


@pytest.fixture
async def terminal(admin: AdminEdge) -> AsyncIterator[Terminal]:
    terminal = Terminal(admin.url)
    await terminal.run("--interval", "0.2")
    yield terminal
    await terminal.close()


def press_q(terminal: Terminal) -> None:
    terminal.press(b"q")


def interrupt(terminal: Terminal) -> None:
    """As Ctrl-C does."""
    terminal.process.send_signal(signal.SIGINT)


@pytest.mark.parametrize("leave", [press_q, interrupt])
async def test_it_is_drawn_again_and_again_until_somebody_leaves(
    terminal: Terminal, admin: AdminEdge, leave: Callable[[Terminal], None]
) -> None:
    await terminal.shows(lambda text: text.count("leader a, term 3") >= 2)
    admin.operations.instances["b"].draining = True
    await terminal.shows(lambda text: "draining" in text)
    leave(terminal)
    assert await terminal.ended() == 0
    assert terminal.text.startswith("\x1b[?1049h")
    await eventually(lambda: terminal.text.endswith("\x1b[?25h\x1b[?1049l"))
    assert terminal.after == terminal.before


async def test_a_service_that_goes_away_is_shown_and_comes_back(
    terminal: Terminal, admin: AdminEdge
) -> None:
    await terminal.shows(lambda text: "leader a" in text)
    port = admin.server.port
    await admin.stop()
    await terminal.shows(lambda text: "does not answer" in text)
    again = AdminEdge()
    await again.start(port)
    try:
        seen = len(terminal.text)
        await terminal.shows(lambda text: "leader a" in text[seen:])
        terminal.press(b"q")
        assert await terminal.ended() == 0
    finally:
        await again.stop()
