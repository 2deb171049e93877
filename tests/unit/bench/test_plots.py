"""Plots: well-formed, everything named, nothing outside."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree as Xml

from bench.methods.plots import WIDTH, lines

SVG = "{http://www.w3.org/2000/svg}"
SERIES = {f"queue <{n}>": [(100.0, 1.0 + n / 100), (3_000.0, 40.0 + n / 10)] for n in range(8)}


def plotted() -> Xml.Element:
    return Xml.fromstring(lines("Pairs & places", "a second", "ms", SERIES))


def test_each_line_has_its_points_and_its_name() -> None:
    plot = plotted()
    assert len(plot.findall(f"{SVG}polyline")) == len(SERIES)
    texts = [text.text for text in plot.findall(f"{SVG}text")]
    assert {*SERIES, "Pairs & places", "a second", "ms", "100", "1000"} <= set(texts)


def test_lines_that_end_together_have_names_apart() -> None:
    names = [text for text in plotted().findall(f"{SVG}text") if text.text in SERIES]
    heights = sorted(float(name.attrib["y"]) for name in names)
    gaps = [b - a for a, b in pairwise(heights)]
    assert min(gaps) >= 15
    assert heights[-1] < 400


def test_more_is_further_right_and_further_up() -> None:
    for line in plotted().findall(f"{SVG}polyline"):
        (x1, y1), (x2, y2) = (
            map(float, point.split(",")) for point in line.attrib["points"].split()
        )
        assert 0 < x1 < x2 < WIDTH
        assert 400 > y1 > y2 > 0
