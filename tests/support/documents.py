"""What a catalogue document amounts to, without a database."""

from __future__ import annotations

from booking.catalogue.document import ConcertEntry, Document, date_entry, schedule_of
from booking.catalogue.domain import Catalogue


def to_catalogue(document: Document, version: int = 0) -> Catalogue:
    """The catalogue that holds these concerts and nothing else."""
    schedules = [
        schedule_of(concert, date) for concert in document.concerts for date in concert.dates
    ]
    schedules.sort(key=lambda schedule: (schedule.open_ms, schedule.id))
    return Catalogue({schedule.id: schedule for schedule in schedules}, version)


def normal(document: Document) -> Document:
    """The spelling in which `export` would write the same concerts."""
    concerts = []
    for concert in document.concerts:
        schedules = [schedule_of(concert, date) for date in concert.dates]
        schedules.sort(key=lambda schedule: (schedule.open_ms, schedule.id))
        dates = tuple(date_entry(schedule) for schedule in schedules)
        concerts.append(ConcertEntry(concert.id, concert.name, dates, concert.queue))
    return Document(tuple(sorted(concerts, key=lambda concert: concert.id)))
