"""What `booking up` shows when everything runs: where things are, and lines to paste."""

import shlex
import sys
from pathlib import Path
from urllib.parse import unquote

from booking.cli.fleet import Fleet
from booking.embedded import EmbeddedServers, nats, postgres

_SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "crowd"
_USUAL_URL = "http://127.0.0.1:8080"


def first_screen(fleet: Fleet, servers: EmbeddedServers, admin_token_file: Path | None) -> str:
    """Several lines. ``admin_token_file`` is ``None`` if the environment gave the token."""
    base_url = fleet.url
    rows = [
        *_service_rows(fleet),
        ("fan's page", f"{base_url}/"),
        ("company", f"{crowd_line(base_url)}   (simulated fans, from a second shell)"),
        ("API pages", f"{base_url}/docs"),
        *_server_rows(servers),
        ("data", str(servers.data_dir)),
        ("console", f"{fleet.admin_url}/admin/console   (for operators)"),
        ("admin token", f"in {admin_token_file or 'BOOKING_ADMIN_TOKEN'}"),
    ]
    shown = "\n".join(f"  {name:<12}{value}" for name, value in rows)
    pasted = "\n\n".join(curl_lines(base_url))
    # Without a file the token is in BOOKING_ADMIN_TOKEN, here as in the second shell.
    data_dir = None if admin_token_file is None else servers.data_dir
    to_break = "" if len(fleet.instances) == 1 else _to_break(fleet, data_dir)
    return (
        f"\nbooking is ready.\n\n{shown}\n\n"
        f"Try it: get a place in the queue, look at the dates, put money into the account.\n\n"
        f"{pasted}\n\n{to_break}Ctrl-C stops everything; the data stays.\n"
    )


def crowd_line(base_url: str) -> str:
    """What sends a crowd here: the checkout's script, else the installed command."""
    command = "./scripts/crowd" if _SCRIPT.exists() else "booking crowd"
    return command if base_url == _USUAL_URL else f"{command} --url {base_url}"


def curl_lines(base_url: str) -> tuple[str, str, str]:
    """A token for a new user (kept in shell variables), the dates with it, and a charge."""
    json_header = "-H 'Content-Type: application/json'"
    return (
        "USER_ID=$(python3 -c 'import uuid; print(uuid.uuid4())'); "
        f"TOKEN=$(curl -s {base_url}/queue/issue {json_header} "
        '-d "{\\"userId\\":\\"$USER_ID\\"}" '
        '| sed -E \'s/.*"token": ?"([^"]*)".*/\\1/\'); echo "$TOKEN"',
        f'curl -s {base_url}/concert/available-dates -H "queue-token: $TOKEN"; echo',
        f"curl -s {base_url}/user/charge {json_header} "
        '-d "{\\"userId\\":\\"$USER_ID\\",\\"amount\\":100000}"; echo',
    )


def _service_rows(fleet: Fleet) -> list[tuple[str, str]]:
    if len(fleet.instances) == 1:
        return [("service", f"{fleet.url}   (pid {fleet.instances[0].pid})")]
    rows = [("service", f"{fleet.url}   ({len(fleet.instances)} instances behind it)")]
    rows += [(each.title, f"{each.place.url}   (pid {each.pid})") for each in fleet.instances]
    return rows


def _to_break(fleet: Fleet, data_dir: Path | None) -> str:
    """With several there is something to see when one goes."""
    first = fleet.instances[0]
    command = shlex.quote(str(Path(sys.executable).with_name("booking")))
    data = "" if data_dir is None else f" --data {shlex.quote(str(data_dir))}"
    return (
        f"Break it: `kill -9 {first.pid}` ends {first.title} as a crash would, `kill {first.pid}` "
        f"lets it hand over\nfirst. The others go on serving, and it is started again. Watch them "
        f"from a second shell with\n\n{command} admin top --url {fleet.admin_url}{data}\n\n"
    )


def _server_rows(servers: EmbeddedServers) -> list[tuple[str, str]]:
    rows = []
    if servers.postgres_bin is None:
        rows.append(("PostgreSQL", "the one in BOOKING_DATABASE_URL"))
    else:
        own = servers.postgres_bin / "psql"
        psql = shlex.quote(str(own)) if own.exists() else "psql"
        where = shlex.quote(str(servers.sockets))
        rows.append(("PostgreSQL", f"{servers.sockets}   (pid {servers.pids['postgres']})"))
        rows.append(("", f"{psql} -h {where} -U {postgres.NAME} {postgres.NAME}"))
    if "valkey" in servers.pids:
        socket = unquote(servers.redis_url.removeprefix("unix://"))
        rows.append(("Valkey", f"{socket}   (pid {servers.pids['valkey']})"))
    else:
        rows.append(("Redis", "the one in BOOKING_REDIS_URL"))
    if servers.nats_port:
        where = f"{nats.url(servers.nats_port)}   (pid {servers.pids['nats']})"
        rows.append(("NATS", f"{where}; events in the stream BOOKING"))
    return rows
