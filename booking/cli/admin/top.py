"""``booking admin top``: the cluster and the queues, drawn in place until q or Ctrl-C."""

from __future__ import annotations

import argparse
import os
import select
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from actors.cluster.operations import ClusterView
from booking.api import QueueReport
from booking.cli.admin import tables
from booking.cli.admin.client import AdminError, Client
from booking.cli.admin.commands import DONE, Admin

_QUIT = frozenset(b"qQ\x03\x04")
_OPEN, _CLOSE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""The terminal's other screen, without a cursor; and back, as it was before."""
_HOME, _LINE_END, _REST = "\x1b[H", "\x1b[K", "\x1b[J"
_BAR = "#"
BAR_WIDTH_MAX = 30
"""Characters: enough to compare, and the table beside it fits into 100 columns."""
NARROWEST = 40
"""Columns below which nothing could be read anyway."""


class Look(msgspec.Struct):
    """What was seen at a moment."""

    view: ClusterView | None
    queues: Sequence[QueueReport]
    problem: str
    """Why nothing, or not all, could be seen."""


def run_top(admin: Admin, args: argparse.Namespace) -> int:
    """One picture, or as many as wanted."""
    if args.once or not sys.stdout.isatty():
        look = _look(admin.client)
        if look.view is None:
            raise AdminError(look.problem)
        size = shutil.get_terminal_size((120, 1_000))
        print("\n".join(picture(look, size.columns, 1_000, _now_ms())))
        return DONE
    with _own_screen():
        try:
            _watch(admin.client, args.interval)
        except KeyboardInterrupt:
            return DONE  # as q: it is how people leave such a thing
    return DONE


def _watch(client: Client, interval_s: float) -> None:
    """One picture after the other, until somebody wants to leave."""
    leave = False
    while not leave:
        drawn_s = time.monotonic()
        size = shutil.get_terminal_size()
        _draw(picture(_look(client), size.columns, size.lines, _now_ms()))
        leave = _key_ends_it(interval_s - (time.monotonic() - drawn_s))


def _look(client: Client) -> Look:
    """A failure is a part of the picture: whoever watches wants to see the service come back."""
    try:
        view = client.get("/admin/cluster", ClusterView)
    except AdminError as error:
        return Look(None, (), str(error))
    try:
        found = client.ask("GET", "/admin/queues")["items"]
        return Look(view, msgspec.convert(found, list[QueueReport]), "")
    except (AdminError, msgspec.ValidationError) as error:
        return Look(view, (), f"queues: {error}")


def picture(look: Look, width: int, height: int, now_ms: int) -> list[str]:
    """At most ``height`` lines of at most ``width`` columns."""
    width = max(width, NARROWEST)
    lines = [f"booking admin top   {tables.clock(now_ms)}   q ends it"]
    if look.problem:
        lines += ["", *(tables.plain(line) for line in look.problem.splitlines())]
    if look.view is not None:
        lines += ["", tables.headline(look.view), "", *_bars(look.view, width)]
        lines += ["", *tables.instances(look.view.instances, now_ms)]
        lines += _queue_lines(look.queues)
        if look.view.rebalance is not None:
            lines += ["", *tables.progress(look.view.rebalance).splitlines()]
        if look.view.handovers:
            lines += ["", *tables.handovers(look.view.handovers[:8])]
    return [line[:width] for line in lines[:height]]


def _bars(view: ClusterView, width: int) -> Iterator[str]:
    """Each instance's part of the shards and of the load."""
    names = max((len(each.instance) for each in view.instances), default=0)
    room = min(BAR_WIDTH_MAX, max(5, (width - names - 22) // 2))
    most_shards = max((each.shards for each in view.instances), default=0) or 1
    most_rate = max((each.rate for each in view.instances), default=0.0) or 1.0
    for each in view.instances:
        shards = _BAR * round(room * each.shards / most_shards)
        rate = _BAR * round(room * each.rate / most_rate)
        yield (
            f"{tables.plain(each.instance):<{names}}  {shards:<{room}} {each.shards:>3} shards  "
            f"{rate:<{room}} {each.rate:,.0f}/s"
        )


def _queue_lines(reports: Sequence[QueueReport]) -> list[str]:
    rows = (
        (
            each.queue,
            each.mode,
            each.waiting,
            each.active,
            each.max_active or None,
            each.admitted_last_minute,
            each.left_last_minute,
        )
        for each in reports
    )
    head = ("queue", "mode", "waiting", "inside", "limit", "let in/min", "left/min")
    found = tables.table(head, rows)
    return ["", *found] if found else []


# -- the terminal ----------------------------------------------------------------------------------


@contextmanager
def _own_screen() -> Iterator[None]:
    """The other screen, and keys as they are pressed; everything as it was before at the end."""
    import termios  # here, because Windows has none and needs it for nothing else
    import tty

    keyboard = sys.stdin.fileno() if sys.stdin.isatty() else None
    before = termios.tcgetattr(keyboard) if keyboard is not None else None
    sys.stdout.write(_OPEN)
    try:
        if keyboard is not None:
            tty.setcbreak(keyboard)
        yield
    finally:
        if keyboard is not None and before is not None:
            termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
        sys.stdout.write(_CLOSE)
        sys.stdout.flush()


def _draw(lines: Sequence[str]) -> None:
    """Over what is there, so that nothing flickers."""
    text = f"{_LINE_END}\r\n".join(lines)
    sys.stdout.write(f"{_HOME}{text}{_LINE_END}{_REST}")
    sys.stdout.flush()


def _key_ends_it(wait_s: float) -> bool:
    """Wait for so long; whether somebody wants to leave."""
    if not sys.stdin.isatty():
        time.sleep(max(wait_s, 0.1))
        return False
    end_s = time.monotonic() + max(wait_s, 0.1)
    while (left_s := end_s - time.monotonic()) > 0:
        ready, _, _ = select.select([sys.stdin], [], [], left_s)
        if ready and _QUIT.intersection(os.read(sys.stdin.fileno(), 64)):
            return True
    return False


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
