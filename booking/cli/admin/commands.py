"""Each command of ``booking admin``: a call, and how its answer is shown."""

import argparse
import sys
import time
from typing import Any

import msgspec

from actors.cluster.admin_views import ClusterView, Rebalance
from booking.catalogue.document import DOCUMENT_BYTES_MAX
from booking.cli.admin import tables
from booking.cli.admin.client import AdminError, Client, path_part
from booking.cli.outcome import DONE, FAILED, read_file
from booking.queue.admin import QueueReport

WAIT_EVERY_S = 0.5
"""Between two looks while waiting: a move takes a tenth of a second, eight go on at a time."""
TROUBLE_MAX_S = 30.0
"""Of a service that does not answer, while waiting: a takeover takes 8, a restart a few more."""
VERDICT_MAX_S = 10.0
"""For the line of an audit to be there after it has stopped running."""
IMPORT_TIMEOUT_S = 120.0
"""For a large catalogue to be sent, read and stored."""


class Admin:
    """One run. Methods are commands, return an exit status, and have the help as docstring."""

    def __init__(self, client: Client, *, as_json: bool) -> None:
        self.client = client
        self._as_json = as_json

    def show(self, data: Any, drawn: tables.Drawn) -> int:
        """Print the answer: as it came, or for people."""
        if self._as_json:
            print(msgspec.json.format(msgspec.json.encode(data), indent=1).decode(), flush=True)
        else:
            tables.terminal().print(*drawn, sep="\n")
        return DONE

    # -- the cluster -------------------------------------------------------------------------------

    def cluster(self, args: argparse.Namespace) -> int:
        """Instances, leader, and what is unusual of shards."""
        data = self.client.ask("GET", "/admin/cluster")
        now_ms = time.time_ns() // 1_000_000
        view = self.client.read(data, ClusterView)
        return self.show(data, tables.cluster(view, now_ms, all_shards=args.shards))

    def plan(self, args: argparse.Namespace) -> int:
        """The moves that would make the shards even; does nothing."""
        data = self.client.ask("POST", "/admin/rebalance", {"dryRun": True})
        view = self.client.read(data, tables.PlanView)
        return self.show(data, tables.plan(view, all_moves=args.moves))

    def apply(self, args: argparse.Namespace) -> int:
        """Do exactly the moves of a plan."""
        data = self.client.ask("POST", "/admin/rebalance", {"planId": args.plan})
        return self._follow(data) if args.wait else self._progress(data)

    def progress(self, args: argparse.Namespace) -> int:
        """How far the plan is that was begun last."""
        data = self.client.ask("GET", "/admin/rebalance")
        return self._follow(data) if args.wait else self._progress(data)

    def abort(self, args: argparse.Namespace) -> int:
        """Begin no more moves of the plan; what moved stays."""
        return self._progress(self.client.ask("DELETE", "/admin/rebalance"))

    def _progress(self, data: Any) -> int:
        return self.show(data, [tables.progress(self.client.read(data, Rebalance))])

    def _follow(self, data: Any) -> int:
        """Until the plan is over; status 1 if it did not come to its end."""
        told = -1
        while (view := self.client.read(data, Rebalance)).state == "running":
            if view.done != told:
                told = view.done
                _say(f"{told} of {view.moves} moves made")
            time.sleep(WAIT_EVERY_S)
            data = self._look("/admin/rebalance")
        self._progress(data)
        # Of a plan that was over before, what is broken may have been broken by what came after.
        broken = tables.broken(view) if told >= 0 else []
        for line in broken:
            _say(line)
        return DONE if view.state == "done" and not broken else FAILED

    # -- shards and instances ----------------------------------------------------------------------

    def move(self, args: argparse.Namespace) -> int:
        """Move a shard now, once."""
        return self._shard(args.shard, "move", {"to": args.to}, f"moves to {args.to}")

    def pin(self, args: argparse.Namespace) -> int:
        """Move a shard to an instance and keep it there."""
        return self._shard(args.shard, "pin", {"to": args.to}, f"is pinned to {args.to}")

    def unpin(self, args: argparse.Namespace) -> int:
        """Let balance decide again."""
        return self._shard(args.shard, "unpin", None, "is pinned no more")

    def freeze(self, args: argparse.Namespace) -> int:
        """Keep a shard where it is, whatever the plan."""
        reason = " ".join(args.reason)
        return self._shard(args.shard, "freeze", {"reason": reason}, "stays where it is")

    def unfreeze(self, args: argparse.Namespace) -> int:
        """Let it move again."""
        return self._shard(args.shard, "unfreeze", None, "may move again")

    def _shard(self, shard: int, verb: str, body: object, words: str) -> int:
        data = self.client.ask("POST", f"/admin/shards/{shard}/{verb}", body)
        return self.show(data, [f"Shard {shard} {words}."])

    def losses(self, args: argparse.Namespace) -> int:
        """What was committed and is no longer in the journal."""
        data = self.client.ask("GET", "/admin/losses")
        items = self.client.read(data, tables.LossPage).items
        return self.show(data, tables.losses(items) or ["Nothing was lost."])

    def accept_loss(self, args: argparse.Namespace) -> int:
        """Serve shards again without what they have lost."""
        if bool(args.shards) is args.all:
            raise AdminError("name the shards, or say --all", status=400)
        body = {"all": True} if args.all else {"shards": args.shards}
        data = self.client.ask("POST", "/admin/losses/accept", body)
        return self.show(data, [f"Served again from what there is: shards {data['target']}."])

    def drain(self, args: argparse.Namespace) -> int:
        """Move everything away from an instance."""
        data = self._instance(args.instance, "drain")
        if not args.wait:
            line = f"{args.instance} is given nothing more, and its shards move away."
            return self.show(data, [line])
        return self._await_empty(args.instance, data)

    def undrain(self, args: argparse.Namespace) -> int:
        """Give it shards again, also after an eviction."""
        data = self._instance(args.instance, "undrain")
        return self.show(data, [f"{args.instance} may have shards again."])

    def evict(self, args: argparse.Namespace) -> int:
        """Take a sick instance's shards without asking it."""
        if not args.yes and sys.stdin.isatty():
            question = (
                f"The others take all shards of {args.instance} without asking it; what it has"
                " accepted and not committed is refused. Type yes: "
            )
            if input(question).strip() != "yes":
                _say("nothing was done")
                return FAILED
        data = self._instance(args.instance, "evict")
        return self.show(data, [f"The shards of {args.instance} are taken over."])

    def _instance(self, instance: str, verb: str) -> Any:
        return self.client.ask("POST", f"/admin/instances/{path_part(instance)}/{verb}")

    def _await_empty(self, instance: str, data: Any) -> int:
        told = -1
        while True:
            view = self.client.read(self._look("/admin/cluster"), ClusterView)
            left = [shard for shard in view.shards if shard.owner == instance]
            if not left:
                return self.show(data, [f"{instance} is empty."])
            if all(shard.frozen for shard in left):
                numbers = ", ".join(str(shard.shard) for shard in left)
                raise AdminError(f"frozen shards stay on {instance}: {numbers}")
            if len(left) != told:
                told = len(left)
                _say(f"{told} shards are still on {instance}")
            time.sleep(WAIT_EVERY_S)

    def _look(self, path: str) -> Any:
        """While waiting: an instance that goes away in the middle of it is no reason to give up."""
        given_up_s = time.monotonic() + TROUBLE_MAX_S
        while True:
            try:
                return self.client.ask("GET", path)
            except AdminError as error:
                passing = error.status in (0, 503)
                if not passing or time.monotonic() > given_up_s:
                    raise
            time.sleep(WAIT_EVERY_S)

    # -- queues ------------------------------------------------------------------------------------

    def queues_show(self, args: argparse.Namespace) -> int:
        """One queue, or all."""
        if args.queue is None:
            data = self.client.ask("GET", "/admin/queues")
            return self.show(data, tables.queues(self.client.read(data, tables.QueueList).items))
        return self._queue(self.client.ask("GET", f"/admin/queues/{path_part(args.queue)}"))

    def queues_set(self, args: argparse.Namespace) -> int:
        """Change these rules and no others, at once."""
        named = {
            "mode": args.mode,
            "maxActive": args.max_active,
            "admitPerInterval": args.admit,
            "intervalS": args.interval,
            "activeS": args.active,
            "maxWaiting": args.max_waiting,
            "opensAt": args.opens_at,
        }
        change: dict[str, Any] = {name: v for name, v in named.items() if v is not None}
        if args.opens_at == "none":
            change["opensAt"] = None
        if not change:
            raise AdminError("nothing to change: name a limit, see --help", status=400)
        return self._change(args.queue, change)

    def queues_pause(self, args: argparse.Namespace) -> int:
        """Let nobody in; who is inside stays."""
        return self._change(args.queue, {"mode": "paused"})

    def queues_resume(self, args: argparse.Namespace) -> int:
        """Let in who has room."""
        return self._change(args.queue, {"mode": "open"})

    def queues_queue_all(self, args: argparse.Namespace) -> int:
        """Line everybody up, also when there is room."""
        return self._change(args.queue, {"mode": "queue_all"})

    def _change(self, queue: str, change: dict[str, Any]) -> int:
        return self._queue(self.client.ask("PATCH", f"/admin/queues/{path_part(queue)}", change))

    def _queue(self, data: Any) -> int:
        return self.show(data, tables.queues([self.client.read(data, QueueReport)]))

    # -- consumers ---------------------------------------------------------------------------------

    def consumers_show(self, args: argparse.Namespace) -> int:
        """How each is doing, and what stopped it."""
        data = self.client.ask("GET", "/admin/consumers")
        items = self.client.read(data, tables.ConsumerList).items
        return self.show(data, tables.consumers(items) or ["There are no consumers."])

    def consumers_pause(self, args: argparse.Namespace) -> int:
        """Take nothing more."""
        return self._consumer(args.consumer, "pause", None, "is paused")

    def consumers_resume(self, args: argparse.Namespace) -> int:
        """Go on; try what it stopped at again."""
        return self._consumer(args.consumer, "resume", None, "goes on")

    def consumers_skip(self, args: argparse.Namespace) -> int:
        """Leave out the event that a shard stopped at."""
        body = {"shard": args.shard, "reason": args.reason}
        return self._consumer(args.consumer, "skip", body, f"goes on in shard {args.shard}")

    def consumers_rewind(self, args: argparse.Namespace) -> int:
        """Take events again that it is done with."""
        body = {"seq": args.seq, "shards": args.shards}
        return self._consumer(args.consumer, "rewind", body, f"goes on after seq {args.seq}")

    def _consumer(self, name: str, verb: str, body: object, words: str) -> int:
        data = self.client.ask("POST", f"/admin/consumers/{path_part(name)}/{verb}", body)
        return self.show(data, [f"{name} {words}."])

    # -- catalogue, audit, trail -------------------------------------------------------------------

    def concerts_put(self, args: argparse.Namespace) -> int:
        """A document of whole concerts, all or nothing."""
        try:
            text = read_file(args.file, DOCUMENT_BYTES_MAX)
        except OSError as error:
            raise AdminError(f"{args.file}: {error.strerror}", status=400) from error
        path = "/admin/concerts"
        if args.concert is not None:
            path += f"/{path_part(args.concert)}"
        data = self.client.ask("PUT", path, text, timeout_s=IMPORT_TIMEOUT_S)
        counts = f"{data['concerts']} concerts, {data['dates']} dates"
        return self.show(data, [f"{counts}; catalogue version {data['version']}"])

    def seats_block(self, args: argparse.Namespace) -> int:
        """Take seats of a date off sale."""
        return self._seats(args, "block", {"seats": args.seats, "reason": args.reason})

    def seats_open(self, args: argparse.Namespace) -> int:
        """Put blocked seats of a date on sale."""
        return self._seats(args, "open", {"seats": args.seats})

    def _seats(self, args: argparse.Namespace, verb: str, body: object) -> int:
        data = self.client.ask("POST", f"/admin/dates/{path_part(args.date)}/{verb}", body)
        words = "are not for sale" if verb == "block" else "are for sale"
        said = f"Seats {args.seats} of {args.date} {words}; catalogue version {data['version']}"
        return self.show(data, [said])

    def audit(self, args: argparse.Namespace) -> int:
        """What the last audit of the journal found."""
        data = self.client.ask("GET", "/admin/audit")
        view = self.client.read(data, tables.AuditView)
        before = view.ended_at
        if args.begin:
            self.client.ask("POST", "/admin/audit")
            data = self.client.ask("GET", "/admin/audit")
            view = self.client.read(data, tables.AuditView)
        seen_s = time.monotonic()
        while args.wait and (view.running_since or (args.begin and view.ended_at == before)):
            if view.running_since:
                seen_s = time.monotonic()
            elif time.monotonic() - seen_s > VERDICT_MAX_S:
                raise AdminError("the audit stopped without a verdict: look into the service's log")
            time.sleep(WAIT_EVERY_S)
            data = self._look("/admin/audit")
            view = self.client.read(data, tables.AuditView)
        self.show(data, tables.audit(view))
        return FAILED if view.verdict in ("violated", "failed") else DONE

    def log(self, args: argparse.Namespace) -> int:
        """Who changed what, newest first."""
        items: list[Any] = []
        after = ""
        while len(items) < args.limit:
            limit = min(100, args.limit - len(items))
            page = self.client.ask("GET", f"/admin/log?limit={limit}{after}")
            items += page["items"]
            if not page["has_more"]:
                break
            after = f"&starting_after={items[-1]['id']}"
        return self.show({"items": items}, tables.trail(items) or ["No change so far."])


def _say(line: str) -> None:
    """On the way, beside the answer: not a part of it."""
    print(line, file=sys.stderr, flush=True)
