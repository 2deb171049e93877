"""The words of ``booking admin``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from booking.cli.admin.client import AdminError, client_of
from booking.cli.admin.commands import DONE, FAILED, WRONG_USAGE, Admin
from booking.cli.admin.top import run_top

Command = Callable[[Admin, argparse.Namespace], int]
Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Add = Callable[[Verbs, str, Command, str], argparse.ArgumentParser]
"""Adds a verb, with the common options and its command."""

_USAGE_STATUSES = (400, 401, 403)
"""Refusals for what was typed or set wrong, and not for the state of the service."""
LOG_LINES_MAX = 10_000
"""A hundred calls."""
SHARDS_MAX = 1_000_000
"""Any number will do: which there are, the service knows."""


def add_parser(subparsers: Verbs) -> None:
    common = _common()
    parser = subparsers.add_parser(
        "admin",
        help="see and steer a running service: cluster, plans, draining, queues, audit",
        description="See and steer a running service through its /admin.",
        parents=[common],
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def add(into: Verbs, name: str, command: Command, words: str) -> argparse.ArgumentParser:
        sub = into.add_parser(name, help=words, description=words, parents=[common])
        sub.set_defaults(run=lambda args: _run(args, command))
        return sub

    _add_cluster(verbs, add)
    _add_shards(verbs, add)
    _add_queues(verbs, add, common)
    _add_rest(verbs, add, common)


def _run(args: argparse.Namespace, command: Command) -> int:
    try:
        with client_of(args) as client:
            return command(Admin(client, as_json=getattr(args, "json", False)), args)
    except BrokenPipeError:
        # Whoever read our answer has enough of it, as `| head` does. Nothing more can be written,
        # also not by the interpreter when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except AdminError as error:
        code = f" ({error.code})" if error.code else ""
        print(f"booking: {error}{code}", file=sys.stderr)
        return WRONG_USAGE if error.status in _USAGE_STATUSES else FAILED


def _common() -> argparse.ArgumentParser:
    """Options that may stand before or behind the verb: without defaults, so that the one place
    does not undo the other."""
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    where = common.add_argument_group("where the service is")
    where.add_argument("--url", metavar="URL", help="default: BOOKING_URL, http://127.0.0.1:8080")
    where.add_argument(
        "--data", type=Path, metavar="DIR", help="of `booking up`, which keeps the token there"
    )
    where.add_argument(
        "--token-file", type=Path, metavar="FILE", help="default: the token in BOOKING_ADMIN_TOKEN"
    )
    where.add_argument("--user", metavar="NAME", help="for the audit trail; default: your login")
    common.add_argument("--json", action="store_true", help="the answer as JSON")
    return common


def _add_cluster(verbs: Verbs, add: Add) -> None:
    sub = add(verbs, "cluster", Admin.cluster, "instances, leader, and what is unusual of shards")
    sub.add_argument("--shards", action="store_true", help="every shard")
    sub = add(verbs, "top", run_top, "the cluster and the queues, live; q ends it")
    sub.add_argument("--once", action="store_true", help="one picture, for scripts")
    sub.add_argument(
        "--interval", type=_seconds, default=1.0, metavar="S", help="between two looks (default 1)"
    )
    sub = add(verbs, "plan", Admin.plan, "the moves that would make the shards even; does nothing")
    sub.add_argument("--moves", action="store_true", help="every move, however many")
    sub = add(verbs, "apply", Admin.apply, "do exactly the moves of a plan")
    sub.add_argument("plan", metavar="PLAN", help="its id")
    sub.add_argument("--wait", action="store_true", help="until it is over")
    sub = add(verbs, "progress", Admin.progress, "how far the plan is that was begun last")
    sub.add_argument("--wait", action="store_true", help="until it is over")
    add(verbs, "abort", Admin.abort, "begin no more moves of the plan; what moved stays")
    sub = add(verbs, "drain", Admin.drain, "move everything away from an instance")
    sub.add_argument("instance", metavar="INSTANCE")
    sub.add_argument("--wait", action="store_true", help="until it is empty")
    sub = add(verbs, "undrain", Admin.undrain, "give it shards again, also after an eviction")
    sub.add_argument("instance", metavar="INSTANCE")
    sub = add(verbs, "evict", Admin.evict, "take a sick instance's shards without asking it")
    sub.add_argument("instance", metavar="INSTANCE")
    sub.add_argument("--yes", action="store_true", help="without asking you")


def _add_shards(verbs: Verbs, add: Add) -> None:
    for name, command, words in (
        ("move", Admin.move, "move a shard now, once"),
        ("pin", Admin.pin, "move a shard to an instance and keep it there"),
    ):
        sub = add(verbs, name, command, words)
        sub.add_argument("shard", type=_shard, metavar="SHARD")
        sub.add_argument("to", metavar="INSTANCE")
    sub = add(verbs, "unpin", Admin.unpin, "let balance decide again")
    sub.add_argument("shard", type=_shard, metavar="SHARD")
    sub = add(verbs, "freeze", Admin.freeze, "keep a shard where it is, whatever the plan")
    sub.add_argument("shard", type=_shard, metavar="SHARD")
    sub.add_argument("reason", nargs="+", metavar="REASON", help="for whoever finds it frozen")
    sub = add(verbs, "unfreeze", Admin.unfreeze, "let it move again")
    sub.add_argument("shard", type=_shard, metavar="SHARD")


def _add_queues(verbs: Verbs, add: Add, common: argparse.ArgumentParser) -> None:
    words = "waiting queues: rules, and how they are doing"
    queues = verbs.add_parser("queues", help=words, description=words, parents=[common])
    does = queues.add_subparsers(dest="does", required=True, metavar="VERB")
    sub = add(does, "show", Admin.queues_show, "one queue, or all")
    sub.add_argument("queue", nargs="?", metavar="QUEUE")
    sub = add(does, "set", Admin.queues_set, "change these rules and no others, at once")
    sub.add_argument("queue", metavar="QUEUE")
    sub.add_argument("--mode", choices=("open", "paused", "queue_all"))
    for option, unit in (
        ("--max-active", "users inside at once; 0: no such limit"),
        ("--admit", "users let in per interval; 0: no such limit"),
        ("--interval", "seconds"),
        ("--active", "seconds that a user may stay inside"),
        ("--max-waiting", "users"),
    ):
        sub.add_argument(option, type=int, metavar="N", help=unit)
    sub.add_argument("--opens-at", metavar="TIME", help="RFC 3339, or none")
    for name, mode, words in (
        ("pause", "paused", "let nobody in; who is inside stays"),
        ("resume", "open", "let in who has room"),
        ("queue-all", "queue_all", "line everybody up, also when there is room"),
    ):
        sub = add(does, name, Admin.queues_mode, words)
        sub.add_argument("queue", metavar="QUEUE")
        sub.set_defaults(mode=mode)


def _add_rest(verbs: Verbs, add: Add, common: argparse.ArgumentParser) -> None:
    words = "change the catalogue while the service runs"
    concerts = verbs.add_parser("concerts", help=words, description=words, parents=[common])
    does = concerts.add_subparsers(dest="does", required=True, metavar="VERB")
    sub = add(does, "put", Admin.concerts_put, "a document of whole concerts, all or nothing")
    sub.add_argument("file", metavar="FILE", help='a path, or "-" for the standard stream')
    sub.add_argument("--concert", metavar="ID", help="FILE is this one concert, not a list")
    sub = add(verbs, "audit", Admin.audit, "what the last audit of the journal found")
    sub.add_argument("--run", dest="begin", action="store_true", help="begin one now")
    sub.add_argument("--wait", action="store_true", help="until it has ended")
    sub = add(verbs, "log", Admin.log, "who changed what, newest first")
    sub.add_argument("--limit", type=_lines, default=20, metavar="N", help="lines (default 20)")


def _shard(text: str) -> int:
    return _whole(text, 0, SHARDS_MAX)


def _lines(text: str) -> int:
    return _whole(text, 1, LOG_LINES_MAX)


def _whole(text: str, low: int, high: int) -> int:
    if not text.isascii() or not text.isdigit() or not low <= int(text[:9]) <= high:
        raise argparse.ArgumentTypeError(f"a whole number from {low} to {high} is expected")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.2 <= seconds <= 3600:
        raise argparse.ArgumentTypeError("seconds from 0.2 to 3600 are expected")
    return seconds
