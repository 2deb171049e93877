"""The .http collection and the k6 script, sent to a real service as they are."""

from __future__ import annotations

import json
import re
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.all_routes import fans_calls
from tests.support.house import ROOT
from tests.support.processes import outcome

COLLECTION = (ROOT / "clients" / "booking.http").read_text(encoding="utf-8")
SCRIPT = ROOT / "clients" / "k6" / "booking.js"
K6 = Path(sys.executable).with_name("k6")
K6_MAX_S = 60
WRONG_THRESHOLDS = 99
"""k6's exit status for thresholds that were crossed: here, how busy this machine is."""


# -- the .http collection --------------------------------------------------------------------------


@dataclass
class Sent:
    """A request of the collection, its variables not yet filled in."""

    name: str
    method: str
    url: str
    headers: dict[str, str]
    body: str


def requests() -> Iterator[Sent]:
    for block in re.split(r"^###.*$", COLLECTION, flags=re.MULTILINE)[1:]:
        lines = block.strip().splitlines()
        (name,) = [line.split()[-1] for line in lines if line.startswith("# @name ")]
        head, _, body = "\n".join(x for x in lines if not x.startswith("#")).partition("\n\n")
        first, *fields = head.splitlines()
        method, url = first.split(" ", 1)
        yield Sent(name, method, url, dict(f.split(": ", 1) for f in fields), body)


def filled(text: str, variables: Mapping[str, str], answers: Mapping[str, Any]) -> str:
    def value(found: re.Match[str]) -> str:
        if (simple := variables.get(found[1])) is not None:
            return simple
        name, path = found[1].split(".response.body.$.")
        at = answers[name]
        for part in re.findall(r"\w+", path):
            at = at[int(part)] if part.isdigit() else at[part]
        return str(at)

    return re.sub(r"{{([^}]+)}}", value, text)


async def test_the_collection_books_a_seat_from_top_to_bottom(running_service: str) -> None:
    variables = dict(re.findall(r"^@(\w+) = (.+)$", COLLECTION, re.MULTILINE))
    assert variables.keys() == {"base", "user"}
    variables |= {"base": running_service, "user": str(uuid.uuid4())}
    answers: dict[str, Any] = {}
    async with aiohttp.ClientSession() as session:
        for each in requests():
            headers = {k: filled(v, variables, answers) for k, v in each.headers.items()}
            async with session.request(
                each.method,
                filled(each.url, variables, answers),
                headers=headers,
                data=filled(each.body, variables, answers) or None,
            ) as answer:
                body = await answer.read()
                assert answer.status < 300, (each.name, body)
                answers[each.name] = json.loads(body) if body else None
    assert answers["pay"]["data"]["status"] == "COMPLETED"
    assert answers["balance"]["data"]["balance"] == answers["hold"]["data"]["price"]
    assert [item["type"] for item in answers["history"]["data"]["items"]] == ["USE", "CHARGE"]


def test_the_collection_has_every_call_of_a_fan() -> None:
    asked = set()
    for each in requests():
        path = each.url.removeprefix("{{base}}").partition("?")[0]
        asked.add((each.method, re.sub(r"/{{.+}}$", "/{id}", path)))
    assert asked - {("GET", "/readyz")} == fans_calls()


# -- k6 --------------------------------------------------------------------------------------------


async def test_the_k6_script_books_seats(running_service: str, tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"
    command = [str(K6), "run", "--quiet", "--no-usage-report"]
    for name, value in {"BASE": running_service, "RATE": "5", "SECONDS": "3"}.items():
        command += ["-e", f"{name}={value}"]
    status, said = await outcome(*command, "-e", f"SUMMARY={summary}", SCRIPT, within_s=K6_MAX_S)
    assert status in (0, WRONG_THRESHOLDS), said
    metrics = json.loads(summary.read_text())["metrics"]
    assert metrics["booked"]["values"]["count"] >= 10, said
    assert metrics["checks"]["values"]["fails"] == 0, said
    assert metrics["http_req_failed"]["values"]["rate"] == 0
    told = {name for name in metrics if metrics[name].get("thresholds")}
    assert {"http_req_duration{kind:read}", "http_req_duration{kind:write}"} <= told
