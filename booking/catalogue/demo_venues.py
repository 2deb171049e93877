"""The houses of the demo season: a hall, a club, a theatre and an arena, each as a few rules."""

from __future__ import annotations

from collections.abc import Iterable

from booking.catalogue.venue import (
    CategoryEntry,
    CurveEntry,
    RowsEntry,
    SectionEntry,
    VenueEntry,
)
from booking.domain.plan import Flag

_GRADES = {
    "vip": CategoryEntry("vip", "VIP", "#8e44ad"),
    "front": CategoryEntry("front", "Front", "#c0392b"),
    "stalls": CategoryEntry("stalls", "Stalls", "#2980b9"),
    "r": CategoryEntry("r", "R", "#c0392b"),
    "s": CategoryEntry("s", "S", "#2980b9"),
    "a": CategoryEntry("a", "A", "#1e8449"),
    "table": CategoryEntry("table", "Table", "#8e44ad"),
    "floor": CategoryEntry("floor", "Standing", "#b9770e"),
}


def _venue(venue: str, name: str, grades: str, sections: Iterable[SectionEntry]) -> VenueEntry:
    named = tuple(map(_GRADES.__getitem__, grades.split()))
    return VenueEntry(venue, name, "Seoul", "Asia/Seoul", named, tuple(sections))


def _hall() -> Iterable[SectionEntry]:
    """Numbered from the front."""
    yield SectionEntry("Stalls", (
        RowsEntry("A", 10, "front", (5,), curve=CurveEntry(0, 300)),
        RowsEntry("B-E", 10, "stalls", (5,), curve=CurveEntry(0, 390)),
    ))  # fmt: skip


def _club() -> Iterable[SectionEntry]:
    yield SectionEntry("Floor", standing=400, category="floor")
    for side, x in (("Left", -700), ("Right", 700)):
        tables = RowsEntry("1-6", 4, "table", curve=CurveEntry(x, 1_200, depth=180))
        yield SectionEntry(f"{side} tables", (tables,))


def _theatre() -> Iterable[SectionEntry]:
    def arc(radius: int) -> CurveEntry:
        """About a point behind the stage."""
        return CurveEntry(0, -1_200, radius, pitch=52)

    wheels: dict[Flag, tuple[int, ...]] = {"accessible": (1, 34), "companion": (2, 33)}
    yield SectionEntry("Stalls", (
        RowsEntry("A-H", 34, "vip", (8, 26), curve=arc(1_700)),
        RowsEntry("I-U", 34, "r", (8, 26), curve=arc(2_420)),
        RowsEntry("V", 34, "s", (8, 26), flags=wheels, curve=arc(3_590)),
    ))  # fmt: skip
    yield SectionEntry("Balcony", (
        RowsEntry("A-C", 52, "r", (17, 35), curve=arc(4_000)),
        RowsEntry("D-H", 52, "s", (17, 35), curve=arc(4_270)),
    ))  # fmt: skip
    yield SectionEntry("Gallery", (RowsEntry("A-C", 42, "a", (14, 28), curve=arc(5_000)),))
    for side, x, outer in (("Left", -1_500, 1), ("Right", 1_500, 5)):
        curve = CurveEntry(x, 500, depth=180)
        boxes = RowsEntry("1-6", 5, "s", flags={"restricted": (outer,)}, curve=curve)
        yield SectionEntry(f"{side} boxes", (boxes,))


def _arena() -> Iterable[SectionEntry]:
    """Six blocks on the floor, and two rings of sixteen around them, open at the stage."""
    for block in range(6):
        back, beside = divmod(block, 3)
        curve = CurveEntry(1_150 * (beside - 1), 600 + 2_000 * back)
        rows = RowsEntry("1-20", 20, "r" if back else "vip", curve=curve)
        yield SectionEntry(f"F{block + 1}", (rows,))
    for ring, radius, names, seats in ((100, 3_400, "1-15", 20), (200, 5_000, "1-12", 25)):
        for block in range(1, 17):
            grade = "a" if ring == 200 else "s" if block in (1, 2, 15, 16) else "r"
            angle = round(240 - 18.75 * (block - 0.5))
            curve = CurveEntry(0, 2_500, radius, angle, pitch=50, depth=85)
            yield SectionEntry(f"{ring + block}", (RowsEntry(names, seats, grade, curve=curve),))


HALL = _venue("lantern-hall", "등불홀 Lantern Hall", "front stalls", _hall())
"""50 seats."""
CLUB = _venue("cellar-club", "지하 Cellar Club", "table floor", _club())
"""400 to stand, and 48 at tables."""
THEATRE = _venue("persimmon-theatre", "감나무극장 Persimmon Theatre", "vip r s a", _theatre())
"""1,350 seats."""
ARENA = _venue("starlight-arena", "별빛 아레나 Starlight Arena", "vip r s a", _arena())
"""12,000 seats."""
