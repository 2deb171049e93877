"""``booking admin top``: the cluster and the queues, drawn in place until q or Ctrl-C."""

import argparse
import os
import select
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
from rich.console import Group
from rich.live import Live
from rich.table import Table

from actors.cluster.admin_views import ClusterView
from booking.cli.admin import tables
from booking.cli.admin.client import AdminError, Client
from booking.cli.admin.commands import Admin
from booking.cli.outcome import DONE
from booking.queue.admin import QueueReport

_QUIT = frozenset(b"qQ\x03\x04")
BAR_WIDTH_MAX = 30
"""Characters: enough to compare, and the table beside it fits into 100 columns."""


class Look(msgspec.Struct):
    """What the service said at a moment."""

    view: ClusterView | None
    queues: Sequence[QueueReport]
    problem: str
    """Why nothing, or not all, could be seen."""


def run_top(admin: Admin, args: argparse.Namespace) -> int:
    """The cluster and the queues, live; q ends it."""
    terminal = tables.terminal()
    if args.once or not terminal.is_terminal or terminal.is_dumb_terminal:
        look = _look(admin.client)
        if look.view is None:
            raise AdminError(look.problem)
        terminal.print(_picture(look, terminal.width))
        return DONE
    with _keys_as_pressed(), Live(console=terminal, screen=True, auto_refresh=False) as live:
        try:
            leave = False
            while not leave:
                drawn_s = time.monotonic()
                live.update(_picture(_look(admin.client), terminal.width), refresh=True)
                leave = _key_ends_it(args.interval - (time.monotonic() - drawn_s))
        except KeyboardInterrupt:
            pass  # as q: it is how people leave such a thing
    return DONE


def _look(client: Client) -> Look:
    """A failure is a part of the picture: whoever watches wants to see the service come back."""
    try:
        view = client.read(client.ask("GET", "/admin/cluster"), ClusterView)
    except AdminError as error:
        return Look(None, (), str(error))
    try:
        queues = client.read(client.ask("GET", "/admin/queues"), tables.QueueList)
        return Look(view, queues.items, "")
    except AdminError as error:
        return Look(view, (), f"queues: {error}")


def _picture(look: Look, width: int) -> Group:
    now_ms = time.time_ns() // 1_000_000
    drawn: tables.Drawn = [f"booking admin top   {tables.clock(now_ms)}   q ends it", ""]
    drawn += [tables.plain(line) for line in look.problem.splitlines()]
    if look.view is not None:
        drawn += [tables.headline(look.view), "", _bars(look.view, width), ""]
        drawn += tables.instances(look.view.instances, now_ms)
        if look.queues:
            drawn += ["", *tables.crowds(look.queues)]
        if look.view.rebalance is not None:
            drawn += ["", tables.progress(look.view.rebalance)]
        if look.view.handovers:
            drawn += ["", *tables.handovers(look.view.handovers[:8])]
    return Group(*drawn)


def _bars(view: ClusterView, width: int) -> Table:
    """Each instance's part of the shards and of the load."""
    names = max((len(each.instance) for each in view.instances), default=0)
    room = min(BAR_WIDTH_MAX, max(5, (width - names - 22) // 2))
    most_shards = max((each.shards for each in view.instances), default=0) or 1
    most_rate = max((each.rate for each in view.instances), default=0.0) or 1.0
    bars = Table.grid(padding=(0, 2, 0, 0))
    for each in view.instances:
        bars.add_row(
            tables.plain(each.instance),
            f"{'#' * round(room * each.shards / most_shards):<{room}} {each.shards:>3} shards",
            f"{'#' * round(room * each.rate / most_rate):<{room}} {each.rate:,.0f}/s",
        )
    return bars


# -- the keyboard ----------------------------------------------------------------------------------


@contextmanager
def _keys_as_pressed() -> Iterator[None]:
    """The terminal hands over each key at once and shows none; at the end, all is as it was."""
    if not sys.stdin.isatty():
        yield
        return
    import termios  # here, because Windows has none and needs it for nothing else
    import tty

    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    tty.setcbreak(keyboard)
    try:
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _key_ends_it(wait_s: float) -> bool:
    """Wait for so long; whether somebody wants to leave."""
    end_s = time.monotonic() + max(wait_s, 0.1)
    while (left_s := end_s - time.monotonic()) > 0:
        if not sys.stdin.isatty():
            time.sleep(left_s)
            continue
        ready, _, _ = select.select([sys.stdin], [], [], left_s)
        if ready and _QUIT.intersection(os.read(sys.stdin.fileno(), 64)):
            return True
    return False
