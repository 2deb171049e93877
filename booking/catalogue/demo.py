"""A season made up for trying the service: the same for the same day, always bookable."""

from datetime import UTC, datetime, timedelta

from booking.catalogue.document import ConcertEntry, DateEntry, Document, SeatEntry
from booking.catalogue.venue import CategoryEntry, RowsEntry, SectionEntry, VenueEntry

DATES = 40
"""Ordinary dates of 50 seats."""
ARENA_SEATS = 10_000

_HALLS = (
    ("hangang-nights", "한강의 밤 Hangang Nights", 45_000),
    ("paper-lanterns", "Paper Lanterns", 38_000),
    ("saebyeok-trio", "새벽 트리오", 30_000),
    ("blue-tram", "The Blue Tram", 52_000),
    ("winter-orchard", "겨울 과수원 Winter Orchard", 64_000),
    ("glass-harbour", "Glass Harbour Ensemble", 71_000),
    ("dallae-voices", "달래 합창단 Dallae Voices", 25_000),
    ("night-post", "Night Post", 42_000),
    ("seven-umbrellas", "일곱 개의 우산", 33_000),
    ("copper-kites", "Copper Kites", 48_000),
    ("moonlit-ledger", "Moonlit Ledger", 55_000),
)
_ARENA = ("starlight-arena", "별빛 아레나 Starlight Arena Live")
_ARENA_BANDS = ((1_000, 198_000), (4_000, 154_000), (8_000, 121_000), (ARENA_SEATS, 88_000))
"""Last seat number of each band and its price in won."""
_FRONT_EXTRA = 20_000
_HALL = VenueEntry(
    "lantern-hall",
    "등불홀 Lantern Hall",
    "Seoul",
    "Asia/Seoul",
    (CategoryEntry("front", "Front", "#c0392b"), CategoryEntry("stalls", "Stalls", "#2980b9")),
    (
        SectionEntry(
            "Stalls",
            (
                RowsEntry("A", 10, category="front", aisles=(5,)),
                RowsEntry("B-E", 10, category="stalls", aisles=(5,)),
            ),
        ),
    ),
)
"""50 seats, numbered from the front."""


def demo_catalogue(now: datetime) -> Document:
    """A dozen concerts, bookable from the midnight before ``now``; the same all day."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    concerts = [
        ConcertEntry(
            concert, name, tuple(_date(concert, run, today, price) for run in range(_runs(index)))
        )
        for index, (concert, name, price) in enumerate(_HALLS)
    ]
    return Document((*concerts, _arena(today)), (_HALL,))


def _runs(index: int) -> int:
    """Dates of each concert: forty shared out, the first ones getting one more."""
    each, rest = divmod(DATES, len(_HALLS))
    return each + (index < rest)


def _date(concert: str, run: int, today: datetime, price: int) -> DateEntry:
    """Every third run has dearer seats in front; the first run of each concert is in two months."""
    place = [name for name, _, _ in _HALLS].index(concert)
    open_at = today + timedelta(days=60 + 2 * place + 21 * run, hours=10)
    front = price + _FRONT_EXTRA if run % 3 == 0 else price
    return DateEntry(
        id=f"{concert}-{run + 1}",
        open_at=open_at,
        close_at=open_at + timedelta(hours=3),
        booking_start=today,
        booking_end=open_at - timedelta(hours=1),
        venue=_HALL.id,
        category_prices={"front": front, "stalls": price},
    )


def _arena(today: datetime) -> ConcertEntry:
    concert, name = _ARENA
    open_at = today + timedelta(days=120, hours=9)
    date = DateEntry(
        id=f"{concert}-1",
        open_at=open_at,
        close_at=open_at + timedelta(hours=4),
        booking_start=today,
        booking_end=open_at - timedelta(hours=1),
        seats=tuple(SeatEntry(number, _band(number)) for number in range(1, ARENA_SEATS + 1)),
    )
    return ConcertEntry(concert, name, (date,))


def _band(number: int) -> int:
    return next(price for last, price in _ARENA_BANDS if number <= last)
