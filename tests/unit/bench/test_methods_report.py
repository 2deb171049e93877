"""The page of the ways, from a run that was made up: whole, in both languages, and judged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from bench.methods.faults import Fault
from bench.methods.queues.compare import QueueReport, wrong
from bench.methods.queues.measure import OUTSIDE, Death, Load, Plan
from bench.methods.report import Axis, Run, middle, span, write
from bench.methods.run import WORKS, Cell, Progress, Result, Size, differences
from bench.methods.way import Totals
from bench.methods.ways import NAMES, way_named
from bench.methods.worker import CHARGE, Tally
from bench.record import latencies

SVG = "{http://www.w3.org/2000/svg}"


def result(way: str, cell: Cell, done: int = 100, lost: int = 0, sold: int = 0) -> Result:
    found = latencies([0.001, 0.002])
    return Result(way, cell, done, 1.0, found, 1.0, {}, lost, sold, 10.0, 20.0, 1.0, 1.0)


def fault(name: str, way: str, lost: int = 0, doubled: int = 0) -> Fault:
    return Fault(name, way, 5, lost, doubled, {"OSError": 2}, 1.5)


def run(results: Sequence[Result] = (), faults: Sequence[Fault] = ()) -> Run:
    where = {"date": "today", "machine": "a toy", "commit": "0123abc", "load": "0.1 0.2 0.3"}
    pair = latencies([0.01, 0.02])
    cpu = dict.fromkeys(("edge", "promoter", "servers", "client"), 3.0)
    loads = [
        Load(100, True, 100.0, pair, {}, cpu),
        Load(500, False, 321.0, pair, {"timeout": 4}, cpu),
    ]
    queue = QueueReport("log", "a log & more", "durable", loads, [Death("read", 30, 0, 2, 0)], [])
    missing = {"kafka": "not measured"}
    return Run(where, {"NATS": "2"}, Size(), Plan(), missing, [*results], [*faults], [queue], 12.3)


def everything() -> Run:
    results = [
        result(way, Cell(work, callers, processes), done=100 + 10 * number)
        for number, way in enumerate(NAMES)
        for work in WORKS
        for callers, processes in ((1, 1), (16, 1), (16, 2))
    ]
    return run(results, [fault("stopped", "Redlock, five Redis", lost=7)])


def test_both_pages_have_every_way_and_every_figure(tmp_path: Path) -> None:
    paths = write(everything(), tmp_path)
    pages = [path.read_text("utf-8") for path in paths if path.suffix == ".md"]
    assert len(pages) == 2
    for page in pages:
        for told in (*NAMES, "0123abc", "kafka: not measured", "NATS 2", "321 at most", "**7**"):
            assert told in page
        assert "{{" not in page
        assert f"{Size().limit_s}" in page
        assert f"{Size().race_limit_s}" in page


def test_a_cell_that_was_not_measured_is_empty_and_the_rest_is_told(tmp_path: Path) -> None:
    cells = [Cell("one user", 1, 1), Cell("one user", 16, 1)]
    some = run([result("RabbitMQ", cells[0]), result("spin lock", cells[1])])
    page = next(path for path in write(some, tmp_path) if path.suffix == ".md").read_text("utf-8")
    assert "| RabbitMQ | 100 (100) | | 0 |" in page
    assert "| spin lock | | 100 (100) | 0 |" in page


def test_every_table_has_as_many_cells_in_each_line(tmp_path: Path) -> None:
    for path in write(everything(), tmp_path):
        table = 0
        for line in path.read_text("utf-8").splitlines() if path.suffix == ".md" else ():
            cells = line.count("|") if line.startswith("|") else 0
            assert not (table and cells and table != cells), line
            table = cells


def test_pictures_are_well_formed_and_more_is_further_right(tmp_path: Path) -> None:
    for path in write(everything(), tmp_path):
        if path.suffix == ".svg":
            Xml.parse(path)
    bars = Xml.parse(tmp_path / "docs" / "images" / "ways-one-user.svg").getroot()
    widths = [float(bar.attrib["width"]) for bar in bars.findall(f"{SVG}rect")]
    assert len(widths) == len(NAMES)
    assert widths == sorted(widths)
    assert len(set(widths)) == len(NAMES)
    assert max(widths) <= 450


def test_a_queue_is_drawn_as_far_as_it_kept_up(tmp_path: Path) -> None:
    write(everything(), tmp_path)
    plot = Xml.parse(tmp_path / "docs" / "images" / "queues.svg").getroot()
    [line] = plot.findall(f"{SVG}polyline")
    assert len(line.attrib["points"].split()) == 1
    assert "a log & more" in [text.text for text in plot.findall(f"{SVG}text")]


def test_an_axis_goes_from_power_to_power_of_ten() -> None:
    axis = Axis([30.0, 2_000.0])
    assert axis.powers == [10.0, 100.0, 1_000.0, 10_000.0]
    assert [axis.at(power) for power in axis.powers] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert axis.at(0.0) == 0  # what never was is at the lower end
    assert Axis([]).powers == [1.0, 10.0]


def test_the_round_in_the_middle_is_told_with_the_lowest_and_highest() -> None:
    cell = Cell("one user", 1, 1)
    group = [result("RabbitMQ", cell, done) for done in (300, 100, 200)]
    assert middle(group).rate == 200
    assert span(each.rate for each in group) == "100–300"  # noqa: RUF001
    assert span([5.0]) == "5"


# -- what a run is judged by -------------------------------------------------------------------


def test_a_lock_in_the_process_may_lose_in_two_and_not_in_one() -> None:
    """Given a lock that is exact in one process, when it loses in two, then that is shown and no
    failure; in one process it is."""
    two, one = Cell("one user", 16, 2), Cell("one user", 16, 1)
    assert run([result("simple lock", two, lost=9)]).problems() == []
    assert len(run([result("simple lock", one, lost=9)]).problems()) == 1
    assert len(run([result("RabbitMQ", two, lost=1)]).problems()) == 1


def test_what_could_not_be_measured_is_told_and_the_rest_goes_on() -> None:
    said: list[str] = []
    progress, one = Progress(said.append), run()
    for name in ("first", "second"):
        with progress.of(name):
            if name == "first":
                raise OSError("no disk")
    assert said == ["first", "FAILED: first: OSError: no disk", "second"]
    one.failed = progress.failed
    assert one.problems() == ["first: OSError: no disk"]


def test_more_seats_sold_than_there_are_is_a_failure_for_all() -> None:
    race = Cell("seat race", 16, 2)
    assert run([result("simple lock", race, sold=50)]).problems() == []
    assert len(run([result("simple lock", race, sold=51)]).problems()) == 1


@pytest.mark.parametrize(
    ("name", "way", "lost", "doubled", "fine"),
    [
        ("stopped", "Redlock, five Redis", 7, 0, True),
        ("stopped", "Redlock, five Redis", 0, 0, False),
        ("stopped", "pub/sub lock, Redis", 7, 0, True),
        ("stopped", "Redlock with a fence", 0, 0, True),
        ("stopped", "Redlock with a fence", 1, 0, False),
        ("stopped", "single writer, runtime", 1, 0, False),
        ("killed", "RabbitMQ", 0, 0, True),
        ("killed", "RabbitMQ", 0, 1, False),
        ("killed, entries ignored", "RabbitMQ", 0, 1, True),
        ("killed, entries ignored", "RabbitMQ", 0, 0, False),
        ("restarted", "optimistic, MariaDB", 0, 8, True),
        ("restarted", "optimistic, MariaDB", 1, 0, False),
    ],
)
def test_a_fault_has_to_do_what_the_page_says_of_it(
    name: str, way: str, lost: int, doubled: int, fine: bool
) -> None:
    """A Redlock that writes nothing stale would make the page as wrong as a fence that fails."""
    one = fault(name, way, lost, doubled)
    assert (one.problem(way_named(way)) == "") is fine
    assert bool(run(faults=[one]).problems()) is not fine


def test_deaths_harm_people_only_between_two_effects() -> None:
    fine, lost = Death("taken out", 30, 0, 0, 0), Death("taken out", 30, 6, 0, 0)
    assert wrong("mariadb", fine)
    assert not wrong("mariadb", lost)
    assert wrong("mariadb-index", lost)
    assert not wrong("mariadb-index", fine)
    late = Death("done", 30, 0, 0, 3)
    assert wrong("redis", late)
    assert not wrong("log-consumer", Death("taken", 30, 0, 0, 3))
    assert not wrong("log-consumer", Death(OUTSIDE, 30, 0, 5, 0))
    assert wrong("ours", Death(OUTSIDE, 30, 0, 1, 0))


@pytest.mark.parametrize(
    ("charges", "uses", "holds", "balance", "taken", "off"),
    [
        (3, 2, 1, 3 * CHARGE - 2, 1, (0, 0, 0)),
        (3, 2, 0, 2 * CHARGE - 2, 0, (1, 0, 0)),
        (3, 2, 0, 3 * CHARGE - 1, 0, (0, 1, 0)),
        (3, 2, 0, 4 * CHARGE - 2, 0, (-1, 0, 0)),
        (0, 0, 2, 0, 1, (0, 0, 1)),
    ],
)
def test_what_was_lost_is_counted_from_sums(
    charges: int, uses: int, holds: int, balance: int, taken: int, off: tuple[int, int, int]
) -> None:
    """One sum tells both, for a charge is a million times a use."""
    tallies = [Tally(charges=charges, uses=uses), Tally(holds=holds)]
    assert differences(tallies, Totals(1_000, 4), Totals(1_000 + balance, 4 + taken)) == off
