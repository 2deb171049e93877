"""The words of ``booking admin``. What a verb does is told by the docstring of its command."""

import argparse
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from booking.cli.admin import webhooks
from booking.cli.admin.client import AdminError, client_of
from booking.cli.admin.commands import Admin
from booking.cli.admin.top import run_top
from booking.cli.outcome import DONE, FAILED, WRONG_USAGE, fail

Command = Callable[[Admin, argparse.Namespace], int]
Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Argument: TypeAlias = tuple[str, dict[str, Any]]

_USAGE_STATUSES = (400, 401, 403)
"""Refusals for what was typed or set wrong, and not for the state of the service."""
LOG_LINES_MAX = 10_000
"""A hundred calls."""
SHARDS_MAX = 1_000_000
"""Any number will do: which there are, the service knows."""


def add_parser(subparsers: Verbs) -> None:
    """Add ``booking admin`` with all its verbs."""
    parser = subparsers.add_parser(
        "admin",
        help="see and steer a running service: cluster, plans, draining, queues, audit",
        description="See and steer a running service through its /admin.",
        parents=[_common()],
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _add_cluster(verbs)
    _add_shards(verbs)
    _add_queues(_group(verbs, "queues", "waiting queues: rules, and how they are doing"))
    _add_consumers(_group(verbs, "consumers", "consumers of events: how they are doing, going on"))
    _add_webhooks(_group(verbs, "webhooks", "webhooks: who is told of events over HTTP"))
    concerts = _group(verbs, "concerts", "change the catalogue while the service runs")
    file = _arg("file", metavar="FILE", help='a path, or "-" for the standard stream')
    one = _arg("--concert", metavar="ID", help="FILE is this one concert, not a list")
    _add(concerts, "put", Admin.concerts_put, file, one)
    date, seats = _arg("date", metavar="DATE"), _arg("seats", metavar="SEATS", help="as 1-10,15")
    why = _arg("--reason", required=True, help="for whoever wonders, such as: house")
    _add(concerts, "block", Admin.seats_block, date, seats, why)
    _add(concerts, "open", Admin.seats_open, date, seats)
    begin = _arg("--run", dest="begin", action="store_true", help="begin one now")
    _add(verbs, "audit", Admin.audit, begin, _flag("--wait", "until it has ended"))
    lines = {"type": partial(_whole, 1, LOG_LINES_MAX), "default": 20, "metavar": "N"}
    _add(verbs, "log", Admin.log, _arg("--limit", help="lines (default 20)", **lines))


def _add_cluster(verbs: Verbs) -> None:
    instance = _arg("instance", metavar="INSTANCE")
    until_over = _flag("--wait", "until it is over")
    every = _arg(
        "--interval", type=_seconds, default=1.0, metavar="S", help="between two looks (default 1)"
    )
    _add(verbs, "cluster", Admin.cluster, _flag("--shards", "every shard"))
    _add(verbs, "top", run_top, _flag("--once", "one picture, for scripts"), every)
    _add(verbs, "plan", Admin.plan, _flag("--moves", "every move, however many"))
    _add(verbs, "apply", Admin.apply, _arg("plan", metavar="PLAN", help="its id"), until_over)
    _add(verbs, "progress", Admin.progress, until_over)
    _add(verbs, "abort", Admin.abort)
    _add(verbs, "drain", Admin.drain, instance, _flag("--wait", "until it is empty"))
    _add(verbs, "undrain", Admin.undrain, instance)
    _add(verbs, "evict", Admin.evict, instance, _flag("--yes", "without asking you"))


def _add_shards(verbs: Verbs) -> None:
    shard = _arg("shard", type=partial(_whole, 0, SHARDS_MAX), metavar="SHARD")
    to = _arg("to", metavar="INSTANCE")
    reason = _arg("reason", nargs="+", metavar="REASON", help="for whoever finds it frozen")
    _add(verbs, "move", Admin.move, shard, to)
    _add(verbs, "pin", Admin.pin, shard, to)
    _add(verbs, "unpin", Admin.unpin, shard)
    _add(verbs, "freeze", Admin.freeze, shard, reason)
    _add(verbs, "unfreeze", Admin.unfreeze, shard)
    shards = _arg("shards", nargs="*", type=partial(_whole, 0, SHARDS_MAX), metavar="SHARD")
    _add(verbs, "losses", Admin.losses)
    _add(verbs, "accept-loss", Admin.accept_loss, shards, _flag("--all", "all that wait"))


def _add_queues(verbs: Verbs) -> None:
    queue, number = _arg("queue", metavar="QUEUE"), partial(_arg, type=int, metavar="N")
    _add(verbs, "show", Admin.queues_show, _arg("queue", nargs="?", metavar="QUEUE"))
    _add(
        verbs,
        "set",
        Admin.queues_set,
        queue,
        _arg("--mode", choices=("open", "paused", "queue_all")),
        number("--max-active", help="users inside at once; 0: no such limit"),
        number("--admit", help="users let in per interval; 0: no such limit"),
        number("--interval", help="seconds"),
        number("--active", help="seconds that a user may stay inside"),
        number("--max-waiting", help="users"),
        _arg("--opens-at", metavar="TIME", help="RFC 3339, or none"),
    )
    _add(verbs, "pause", Admin.queues_pause, queue)
    _add(verbs, "resume", Admin.queues_resume, queue)
    _add(verbs, "queue-all", Admin.queues_queue_all, queue)


def _add_consumers(verbs: Verbs) -> None:
    consumer = _arg("consumer", metavar="NAME")
    shard = {"type": partial(_whole, 0, SHARDS_MAX), "metavar": "SHARD"}
    _add(verbs, "show", Admin.consumers_show)
    _add(verbs, "pause", Admin.consumers_pause, consumer)
    _add(verbs, "resume", Admin.consumers_resume, consumer)
    reason = _arg("--reason", required=True, help="for whoever misses the event")
    _add(verbs, "skip", Admin.consumers_skip, consumer, _arg("shard", **shard), reason)
    _add(
        verbs,
        "rewind",
        Admin.consumers_rewind,
        consumer,
        _arg("shards", nargs="*", help="default: all", **shard),
        _arg("--seq", type=int, default=0, help="go on after this event (default 0)"),
    )


def _add_webhooks(verbs: Verbs) -> None:
    webhook = _arg("webhook", metavar="WEBHOOK", help="its id")
    kinds = _arg("--type", dest="types", action="append", metavar="TYPE", help="default: all")
    about = _arg("--about", metavar="WORDS", help="what it is")
    words = "a secret of yours; default: a new one"
    secret = _arg("--secret-file", type=Path, metavar="FILE", help=words)
    to, switch = {"dest": "url_to", "metavar": "URL"}, {"dest": "enabled", "default": None}
    on = _arg("--enable", action="store_true", **switch)
    off = _arg("--disable", action="store_false", **switch)
    _add(verbs, "show", webhooks.show)
    _add(verbs, "create", webhooks.create, _arg("url_to", metavar="URL"), kinds, about, secret)
    _add(verbs, "change", webhooks.change, webhook, _arg("--to", **to), kinds, about, on, off)
    _add(verbs, "delete", webhooks.delete, webhook)
    state = _arg("--state", choices=("pending", "delivered", "dead"))
    lines = {"type": partial(_whole, 1, 100), "default": 20, "metavar": "N"}
    limit = _arg("--limit", help="lines (default 20)", **lines)
    _add(verbs, "deliveries", webhooks.deliveries, webhook, state, limit)
    _add(verbs, "resend", webhooks.resend, webhook, _arg("events", nargs="*", metavar="EVENT"))
    _add(verbs, "test", webhooks.test, webhook)
    seconds = {"type": partial(_whole, 0, 2_592_000), "default": 86_400, "metavar": "S"}
    overlap = _arg("--overlap", help="seconds that both sign (default: a day)", **seconds)
    _add(verbs, "rotate", webhooks.rotate, webhook, overlap, secret)


def _arg(name: str, **options: Any) -> Argument:
    return name, options


def _flag(name: str, words: str) -> Argument:
    return name, {"action": "store_true", "help": words}


def _add(verbs: Verbs, name: str, command: Command, *arguments: Argument) -> None:
    words = (command.__doc__ or "").replace("\n       ", "").rstrip(".")
    words = words[:1].lower() + words[1:]
    parser = verbs.add_parser(name, help=words, description=words, parents=[_common()])
    for argument, options in arguments:
        parser.add_argument(argument, **options)
    parser.set_defaults(run=lambda args: _run(args, command))


def _group(verbs: Verbs, name: str, words: str) -> Verbs:
    parser = verbs.add_parser(name, help=words, description=words, parents=[_common()])
    return parser.add_subparsers(dest="does", required=True, metavar="VERB")


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
        return fail(f"{error}{code}", WRONG_USAGE if error.status in _USAGE_STATUSES else FAILED)


def _common() -> argparse.ArgumentParser:
    """Options before or behind the verb; no defaults, so that one place does not undo the other."""
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


def _whole(low: int, high: int, text: str) -> int:
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
