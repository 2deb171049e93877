"""What a catalogue document amounts to, without a database."""

from __future__ import annotations

from msgspec.structs import replace

from booking.catalogue.document import DateEntry, Document, date_entry, schedule_of
from booking.catalogue.domain import Catalogue
from booking.catalogue.venue import venue_of


def to_catalogue(document: Document, version: int = 0) -> Catalogue:
    """The catalogue that holds these concerts and nothing else."""
    venues = {venue.id: venue_of(venue) for venue in document.venues}
    schedules = [
        schedule_of(concert, date, venues[date.venue].plan if date.venue else None)
        for concert in document.concerts
        for date in concert.dates
    ]
    schedules.sort(key=lambda schedule: (schedule.open_ms, schedule.id))
    return Catalogue({schedule.id: schedule for schedule in schedules}, version, venues)


def normal(document: Document) -> Document:
    """The spelling in which `export` would write the same concerts."""
    catalogue = to_catalogue(document)
    dates: dict[str, list[DateEntry]] = {concert.id: [] for concert in document.concerts}
    for schedule in catalogue.schedules.values():
        date = date_entry(schedule, catalogue.plan_of(schedule))
        dates[schedule.concert_id].append(date)
    concerts = [replace(each, dates=tuple(dates[each.id])) for each in document.concerts]
    return Document(
        tuple(sorted(concerts, key=lambda concert: concert.id)),
        tuple(sorted(document.venues, key=lambda venue: venue.id)),
    )
