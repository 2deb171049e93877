"""`booking admin` against a running operators' side."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.journal.contract import JournalError
from booking.cli.admin.client import Client
from booking.cli.main import main
from tests.support.admin_edge import TOKEN, AdminEdge
from tests.support.catalogues import concert, date
from tests.support.edge import eventually


class Ran:
    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def lines(self) -> list[list[str]]:
        """The words of every line."""
        return [line.split() for line in self.out.splitlines()]

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Booking = Callable[..., Coroutine[Any, Any, Ran]]


@pytest.fixture
def booking(
    admin: AdminEdge, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Booking:
    """Runs `booking admin` with these arguments against the running server."""
    for name in ("BOOKING_ADMIN_PORT", "BOOKING_PORT", "PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BOOKING_URL", admin.url)
    monkeypatch.setenv("BOOKING_ADMIN_TOKEN", TOKEN)

    async def run(*args: str) -> Ran:
        try:
            status = await asyncio.to_thread(main, ["admin", *args])
        except SystemExit as ended:  # argparse's way
            status = int(str(ended.code))
        said = capsys.readouterr()
        return Ran(status, said.out, said.err)

    return run


async def test_the_cluster_as_a_table(admin: AdminEdge, booking: Booking) -> None:
    admin.operations.instances["b"].draining = True
    await admin.operations.move(7, "a", "x")
    ran = await booking("cluster")
    assert ran.status == 0
    assert ran.out.startswith("leader a, term 3; 3 instances; 256 shards; 1 moving;")
    table = {words[0]: words for words in ran.lines if words}
    assert table["b"][1:3] == ["draining", "85"]
    assert table["7"][:4] == ["7", "b", "a", "1"]
    assert "0" not in table


async def test_every_shard_when_asked(booking: Booking) -> None:
    ran = await booking("cluster", "--shards")
    numbers = [words[0] for words in ran.lines if words and words[0].isdigit()]
    assert numbers == [str(number) for number in range(256)]


async def test_json_is_what_the_service_said(admin: AdminEdge, booking: Booking) -> None:
    for args in (("--json", "cluster"), ("cluster", "--json")):
        assert (await booking(*args)).json == (await admin("GET", "/admin/cluster")).data


@pytest.mark.parametrize("verb", ["cluster", "progress", "plan", "queues show", "audit", "abort"])
async def test_an_answer_of_another_shape_is_one_line(
    booking: Booking, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setattr(Client, "ask", lambda self, method, path, body=None: {"strange": 1})
    ran = await booking("--json", *verb.split())
    assert (ran.status, ran.out) == (1, "")
    assert "is of another version: Object missing required field" in ran.err
    assert ran.err.count("\n") == 1


async def test_a_plan_is_shown_and_exactly_that_is_applied(
    admin: AdminEdge, booking: Booking
) -> None:
    admin.operations.join("d")
    ran = await booking("plan")
    assert ["a", "d", "count", "22", "100.0"] in ran.lines
    assert "64 moves. Nothing was done yet" in ran.out
    plan = ran.out.rstrip().rpartition("booking admin apply ")[2]
    assert (await booking("apply", plan)).status == 0
    assert sum(s.desired == "d" for s in admin.operations.shards) == 64
    admin.operations.step(12)
    assert "12 of 64 moves made" in (await booking("progress")).out
    assert "aborted" in (await booking("abort")).out
    assert len((await booking("plan", "--moves")).lines) > 52


async def test_an_even_cluster_has_nothing_to_move(booking: Booking) -> None:
    assert (await booking("plan")).out == "Nothing to move: the shards are even.\n"


async def test_waiting_for_a_plan_ends_with_it(admin: AdminEdge, booking: Booking) -> None:
    admin.operations.join("d")
    plan = (await booking("--json", "plan")).json["planId"]
    admin.operations.moves_per_view = 40
    ran = await booking("apply", plan, "--wait")
    assert (ran.status, "done: 64 of its 64 shards" in ran.out) == (0, True)
    assert "40 of 64 moves made" in ran.err


async def test_an_old_plan_is_not_blamed_for_what_moved_after_it(
    admin: AdminEdge, booking: Booking
) -> None:
    admin.operations.join("d")
    plan = (await booking("--json", "plan")).json["planId"]
    await booking("apply", plan)
    admin.operations.step(64)
    assert admin.operations.rebalance is not None
    admin.operations.rebalance = msgspec.structs.replace(
        admin.operations.rebalance, done=60, broken=["shard 7: claimed by c (epoch 2 -> 3)"]
    )
    ran = await booking("progress")
    assert "done: 60 of its 64 shards are where it wanted them" in ran.out
    assert "shard 7" not in ran.out
    ran = await booking("progress", "--wait")
    assert (ran.status, "shard 7" in ran.out + ran.err) == (0, False)


async def test_a_stale_plan_is_refused_with_status_1(admin: AdminEdge, booking: Booking) -> None:
    admin.operations.join("d")
    plan = (await booking("--json", "plan")).json["planId"]
    admin.operations.join("e")
    ran = await booking("apply", plan)
    assert ran.status == 1
    assert "instance e is new" in ran.err
    assert "(plan_stale)" in ran.err
    assert ran.out == ""


async def test_shards_are_moved_pinned_and_frozen(admin: AdminEdge, booking: Booking) -> None:
    for args in (
        ("move", "4", "a"),
        ("pin", "5", "b"),
        ("unpin", "5"),
        ("freeze", "6", "being", "looked", "at"),
        ("unfreeze", "6"),
    ):
        assert (await booking("--user", "kim", *args)).status == 0, args
    assert await admin.said() == [
        ("kim (127.0.0.1)", "move", {"shard": 4, "from": "b", "to": "a"}),
        ("kim (127.0.0.1)", "pin", {"shard": 5, "instance": "b"}),
        ("kim (127.0.0.1)", "unpin", {"shard": 5}),
        ("kim (127.0.0.1)", "freeze", {"shard": 6, "reason": "being looked at"}),
        ("kim (127.0.0.1)", "unfreeze", {"shard": 6}),
    ]


async def test_a_drain_can_be_waited_for(admin: AdminEdge, booking: Booking) -> None:
    admin.operations.moves_per_view = 50
    ran = await booking("drain", "b", "--wait")
    assert (ran.status, ran.out) == (0, "b is empty.\n")
    assert "35 shards are still on b" in ran.err
    assert (await booking("undrain", "b")).status == 0
    assert not admin.operations.instances["b"].draining


async def test_a_drain_does_not_wait_for_what_cannot_move(
    admin: AdminEdge, booking: Booking
) -> None:
    await admin.operations.freeze(1, "evidence", "x")
    admin.operations.moves_per_view = 256
    ran = await booking("drain", "b", "--wait")
    assert (ran.status, ran.err.splitlines()[-1]) == (1, "booking: frozen shards stay on b: 1")


async def test_an_eviction_is_done_without_a_question_for_scripts(
    admin: AdminEdge, booking: Booking
) -> None:
    assert (await booking("evict", "c", "--yes")).status == 0
    assert admin.operations.instances["c"].evicted


async def test_queues_are_shown_and_changed(admin: AdminEdge, booking: Booking) -> None:
    await admin.instance.line_up(1)
    ran = await booking("queues", "show", "main")
    assert ["inside", "1", "of", "1,000"] in ran.lines
    assert (await booking("queues", "show")).out == ran.out
    ran = await booking("queues", "set", "main", "--max-active", "2000", "--admit", "0")
    assert ["inside", "1", "of", "2,000"] in ran.lines
    assert "rate: no limit" in ran.out
    for verb, mode in (("pause", "paused"), ("resume", "open")):
        assert (await booking("queues", verb, "main")).status == 0
        assert admin.instance.queue.policy.mode == mode
    ran = await booking("queues", "queue-all", "main")
    assert (ran.status, "(queue_rules_invalid)" in ran.err) == (1, True)
    await booking("queues", "set", "main", "--opens-at", "2027-02-01T10:00:00Z")
    assert admin.instance.queue.policy.opens_ms == 1_801_476_000_000
    await booking("queues", "set", "main", "--opens-at", "none")
    assert admin.instance.queue.policy.opens_ms == 0
    ran = await booking("queues", "set", "main")
    assert (ran.status, "nothing to change" in ran.err) == (2, True)


async def test_concerts_are_put_from_a_file(
    admin: AdminEdge, booking: Booking, tmp_path: Path
) -> None:
    file = tmp_path / "season.json"
    file.write_text(json.dumps({"concerts": [concert("alpha", date("alpha-1"))]}))
    ran = await booking("concerts", "put", str(file))
    assert ran.out == "1 concerts, 1 dates; catalogue version 2\n"
    file.write_text(json.dumps(concert("beta", date("beta-1")), indent=1))
    assert (await booking("concerts", "put", str(file), "--concert", "beta")).status == 0
    assert admin.dates.keys() >= {"alpha-1", "beta-1"}
    ran = await booking("concerts", "put", str(file), "--concert", "gamma")
    assert ran.status == 1
    assert "  line 2: id: is 'beta'" in ran.err
    assert (await booking("concerts", "put", str(tmp_path / "nothing"))).status == 2


async def test_an_audit_is_begun_waited_for_and_its_verdict_is_the_status(
    admin: AdminEdge, booking: Booking
) -> None:
    assert (await booking("audit")).out == "No audit has ended yet.\n"
    for violation, status, word in (("", 0, "clean"), ("sold twice", 1, "VIOLATIONS FOUND")):
        waiting = asyncio.create_task(booking("audit", "--run", "--wait"))
        await eventually(lambda: admin.audits.running)
        admin.audits.end(violation)
        ran = await waiting
        assert (ran.status, word in ran.out) == (status, True), ran.out
        admin.operations.clock.advance(1_000)  # type: ignore[attr-defined]  # a ManualClock
    assert "sold twice" in (await booking("audit")).out


async def test_the_trail_is_read_over_pages(admin: AdminEdge, booking: Booking) -> None:
    assert (await booking("log")).out == "No change so far.\n"
    for number in range(130):
        detail = {"none": "", "list": [1, 2, 3], "number": number}
        await admin.operations.note("kim", "queue", detail)
    ran = await booking("log", "--limit", "120")
    assert len(ran.lines) == 121
    assert ran.lines[1][-2:] == ["list=3", "number=129"]
    assert len((await booking("log")).lines) == 21


async def test_one_picture_of_everything(admin: AdminEdge, booking: Booking) -> None:
    await admin("PATCH", "/admin/queues/main", {"maxActive": 1})
    await admin.instance.line_up(1, 2, 3)
    await admin.operations.move(4, "a", "x")
    admin.operations.step()
    ran = await booking("top", "--once")
    assert ran.status == 0
    assert "\x1b" not in ran.out
    table = [words for words in ran.lines if words]
    assert any(words[:3] == ["main", "open", "2"] for words in table)
    assert any(words[0] == "a" and words[1].startswith("###") for words in table)
    assert any(words[2:5] == ["4", "b", "a"] for words in table)


async def test_seats_are_taken_off_sale_and_put_back(admin: AdminEdge, booking: Booking) -> None:
    ran = await booking("concerts", "block", "d1", "1-3", "--reason", "house")
    assert ran.out == "Seats 1-3 of d1 are not for sale; catalogue version 2\n"
    ran = await booking("concerts", "open", "d1", "2")
    assert ran.out == "Seats 2 of d1 are for sale; catalogue version 3\n"
    assert [block.spelled for block in admin.dates["d1"].blocked] == ["1", "3"]


# -- when it does not work -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "status", "said"),
    [
        (("move", "x", "a"), 2, "a whole number"),
        (("move", "300", "a"), 1, "(unknown_shard)"),
        (("move", "3", "nobody"), 1, "(unknown_instance)"),
        (("drain", "../queues/main"), 1, "(unknown_instance)"),
        (("freeze", "3"), 2, "REASON"),
        (("log", "--limit", "0"), 2, "a whole number"),
        (("queues", "show", "nothing"), 1, "(not_found)"),
        ((), 2, "VERB"),
        (("--token-file", "/nowhere/token", "cluster"), 2, "/nowhere/token cannot be read"),
        (("--data", "/nowhere", "cluster"), 2, "/nowhere/admin-token cannot be read"),
        (("--url", "127.0.0.1:8080", "cluster"), 2, "must look like http://host:port"),
        (("--url", "http://127.0.0.1:1", "cluster"), 1, "does not answer: Connection refused"),
    ],
)
async def test_what_goes_wrong_is_one_line_and_a_status(
    booking: Booking, args: tuple[str, ...], status: int, said: str
) -> None:
    ran = await booking(*args)
    assert (ran.status, ran.out) == (status, "")
    assert said in ran.err


async def test_a_service_without_its_database_is_status_1(
    admin: AdminEdge, booking: Booking
) -> None:
    admin.operations.trouble = JournalError("gone")
    ran = await booking("drain", "a")
    assert (ran.status, "(journal_unavailable)" in ran.err) == (1, True)


async def test_a_wrong_token_is_status_2_and_not_repeated(
    booking: Booking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOOKING_ADMIN_TOKEN", "another-token-8c1e")
    ran = await booking("cluster")
    assert ran.status == 2
    assert "(admin_token_invalid)" in ran.err
    assert "another-token" not in ran.err


async def test_without_any_token_it_is_said_where_one_could_be(
    booking: Booking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("BOOKING_ADMIN_TOKEN")
    monkeypatch.setattr("booking.cli.admin.client.default_data_dir", lambda: tmp_path)
    ran = await booking("cluster")
    assert (ran.status, "--token-file" in ran.err, "--data" in ran.err) == (2, True, True)


async def test_the_token_of_booking_up_is_found_in_its_data_directory(
    admin: AdminEdge, booking: Booking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "admin-token").write_text(f"{TOKEN}\n")
    monkeypatch.delenv("BOOKING_ADMIN_TOKEN")
    assert (await booking("--data", str(tmp_path), "cluster")).status == 0
    monkeypatch.setattr("booking.cli.admin.client.default_data_dir", lambda: tmp_path)
    assert (await booking("cluster")).status == 0
    monkeypatch.setenv("BOOKING_ADMIN_TOKEN", "another-token-8c1e")
    file = str(tmp_path / "admin-token")
    assert (await booking("cluster", "--token-file", file)).status == 0


async def test_the_address_follows_the_settings_of_the_service(
    admin: AdminEdge, booking: Booking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BOOKING_URL")
    monkeypatch.setenv("BOOKING_PORT", "1")
    assert "http://127.0.0.1:1 does not" in (await booking("cluster")).err
    monkeypatch.setenv("BOOKING_ADMIN_PORT", str(admin.server.port))
    assert (await booking("cluster")).status == 0


async def test_names_cannot_write_to_the_terminal(admin: AdminEdge, booking: Booking) -> None:
    await admin.operations.freeze(3, "\x1b[2Jgone", "x")
    await admin.operations.note("x", "queue", {"name": "\x1b]0;title\x07"})
    for args in (("cluster",), ("top", "--once"), ("log",)):
        assert "\x1b" not in (await booking(*args)).out
