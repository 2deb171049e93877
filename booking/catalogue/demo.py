"""A season made up for trying the service: the same for the same day, always bookable."""

from datetime import UTC, datetime, timedelta

from booking.catalogue.demo_venues import ARENA, CLUB, HALL, THEATRE
from booking.catalogue.document import ConcertEntry, DateEntry, Document
from booking.catalogue.venue import VenueEntry

DATES = 40
"""Ordinary dates of 50 seats."""

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
_LARGE = (
    ("glass-garden", "유리 정원 The Glass Garden", 2, THEATRE,
     {"vip": 160_000, "r": 130_000, "s": 90_000, "a": 60_000}),
    ("cellar-echoes", "Cellar Echoes", 2, CLUB, {"table": 80_000, "floor": 44_000}),
    ("starlight-arena", "별빛 아레나 Starlight Arena Live", 1, ARENA,
     {"vip": 198_000, "r": 154_000, "s": 121_000, "a": 88_000}),
)  # fmt: skip
"""With the number of dates, the venue and its prices in won."""
_FRONT_EXTRA = 20_000


def demo_catalogue(now: datetime) -> Document:
    """Some concerts, bookable from the midnight before ``now``; the same all day."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    concerts = []
    for place, (concert, name, price) in enumerate(_HALLS):
        dates = (
            # Every third run has dearer seats in front.
            _date(concert, run, today, 60 + 2 * place, HALL,
                  {"front": price + _FRONT_EXTRA * (run % 3 == 0), "stalls": price})
            for run in range(_runs(place))
        )  # fmt: skip
        concerts.append(ConcertEntry(concert, name, tuple(dates)))
    for concert, name, runs, venue, prices in _LARGE:
        dates = (_date(concert, run, today, 120, venue, prices) for run in range(runs))
        concerts.append(ConcertEntry(concert, name, tuple(dates)))
    return Document(tuple(concerts), (HALL, CLUB, THEATRE, ARENA))


def _runs(index: int) -> int:
    """Dates of each concert: forty shared out, the first ones getting one more."""
    each, rest = divmod(DATES, len(_HALLS))
    return each + (index < rest)


def _date(
    concert: str, run: int, today: datetime, first: int, venue: VenueEntry, prices: dict[str, int]
) -> DateEntry:
    """The first run is after ``first`` days, each other three weeks after the one before."""
    open_at = today + timedelta(days=first + 21 * run, hours=10)
    return DateEntry(
        id=f"{concert}-{run + 1}",
        open_at=open_at,
        close_at=open_at + timedelta(hours=3),
        booking_start=today,
        booking_end=open_at - timedelta(hours=1),
        venue=venue.id,
        category_prices=prices,
    )
