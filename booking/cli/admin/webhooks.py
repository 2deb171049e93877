"""``booking admin webhooks``: who is told of events over HTTP."""

import argparse
from pathlib import Path
from typing import Any, TypeAlias

from booking.cli.admin import tables
from booking.cli.admin.client import AdminError, path_part
from booking.cli.admin.commands import Admin
from booking.cli.outcome import DONE, FAILED
from booking.webhooks.contract import DeliveryView, WebhookView

TIMEOUT_S = 90.0
"""Of what waits for a receiver, or concerns many deliveries."""
Args: TypeAlias = argparse.Namespace


def show(admin: Admin, args: Args) -> int:
    """Each endpoint, and how it is doing."""
    data = admin.client.ask("GET", "/admin/webhooks")
    rows = []
    for one in admin.client.read(data["items"], list[WebhookView]):
        state = "enabled" if one.enabled else "disabled"
        told = (" ".join(one.types) or "all", one.url, one.about, one.trouble)
        rows.append((one.id, state, one.pending, one.dead, one.oldest_pending_s, *told))
    head = "webhook|state|pending|dead|oldest s|types|url|about|trouble"
    none = "There are no webhooks." if data["on"] else "Webhooks are off: BOOKING_WEBHOOKS."
    return admin.show(data, tables.table(head, rows) or [none])


def create(admin: Admin, args: Args) -> int:
    """Post events to an address from now on; tells its secret, once."""
    body = {"url": args.url_to, "types": args.types or [], "about": args.about or ""}
    return _secret(admin, "/admin/webhooks", body | _given(args))


def rotate(admin: Admin, args: Args) -> int:
    """Sign with another secret, and for a while with the present one too."""
    body = {"overlapSeconds": args.overlap} | _given(args)
    return _secret(admin, _path(args, "/rotate"), body)


def change(admin: Admin, args: Args) -> int:
    """Change an endpoint; what is not named stays."""
    given = {"url": args.url_to, "types": args.types, "about": args.about, "enabled": args.enabled}
    body = {name: value for name, value in given.items() if value is not None}
    data = admin.client.ask("PATCH", _path(args), body)
    return admin.show(data, [f"{args.webhook} is changed."])


def delete(admin: Admin, args: Args) -> int:
    """Tell an address nothing any more; what is pending goes too."""
    data = admin.client.ask("DELETE", _path(args), timeout_s=TIMEOUT_S)
    return admin.show(data, [f"{args.webhook} is deleted."])


def deliveries(admin: Admin, args: Args) -> int:
    """What an endpoint is and was to be told, newest first."""
    query = f"?limit={args.limit}" + (f"&state={args.state}" if args.state else "")
    data = admin.client.ask("GET", _path(args, f"/deliveries{query}"))
    rows = []
    for one in admin.client.read(data["items"], list[DeliveryView]):
        due = "" if one.due_at_ms is None else tables.clock(one.due_at_ms)
        times = (tables.clock(one.made_at_ms), due)
        rows.append((one.event, one.type, one.state, one.attempts, *times, one.trouble))
    head = "event|type|state|attempts|made at|due at|trouble"
    return admin.show(data, tables.table(head, rows) or ["There are none."])


def resend(admin: Admin, args: Args) -> int:
    """Send events again: those named, or all that were given up."""
    path, body = _path(args, "/resend"), {"events": args.events}
    data = admin.client.ask("POST", path, body, timeout_s=TIMEOUT_S)
    return admin.show(data, [f"{data['count']} events are due again."])


def test(admin: Admin, args: Args) -> int:
    """Post an event that means nothing, and tell what the address answers."""
    data = admin.client.ask("POST", _path(args, "/test"), timeout_s=TIMEOUT_S)
    words = tables.plain(data["trouble"]) or f"answered {data['status']}"
    admin.show(data, [f"{args.webhook}: {words} in {data['tookMs']} ms."])
    return FAILED if data["trouble"] else DONE


def _path(args: Args, rest: str = "") -> str:
    return f"/admin/webhooks/{path_part(args.webhook)}{rest}"


def _given(args: Args) -> dict[str, str]:
    """A secret is in a file, so that no list of processes shows it."""
    file: Path | None = args.secret_file
    if file is None:
        return {}
    try:
        return {"secret": file.read_text("ascii").strip()}
    except (OSError, UnicodeDecodeError) as error:
        raise AdminError(f"{file}: {getattr(error, 'strerror', error)}", status=400) from error


def _secret(admin: Admin, path: str, body: dict[str, Any]) -> int:
    data = admin.client.ask("POST", path, body)
    made = admin.client.read(data, dict[str, str])
    lines = [f"{made['id']} signs with this secret, which is not told again:", made["secret"]]
    return admin.show(data, [*lines])
