"""Concerts and dates: answered from memory, encoded once for each combination of versions."""
# ruff: noqa: N815  -- the field names are the public ones

from collections import OrderedDict
from functools import lru_cache
from hashlib import blake2b
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from booking.calls import UnknownError
from booking.catalogue.domain import Catalogue, Schedule
from booking.seats.view import SeatMap
from booking.services import Services
from booking_http.catalogue.plan import VenuePlan, VenuePlans
from booking_http.reply import Reply, Representation, data_body
from booking_http.routes import DATE, Answer, Call, Calls, Route, id_param
from booking_http.schemas import Count, Id, LocalMoment, Moment, local_time, rfc3339

LISTINGS_MAX = 256
"""Lists kept, one for each concert asked for and one for each queue; each is a few kB."""
_moment = lru_cache(maxsize=4096)(rfc3339)
"""A season has a few hundred moments, each written again whenever a seat of any date changes."""


class AvailableDate(msgspec.Struct, frozen=True, omit_defaults=True):
    """A date that can be booked now. Its place is absent if the catalogue does not say."""

    id: Id
    concertId: Id
    concertName: str
    totalSeats: Count
    reservedSeats: Annotated[int, Meta(ge=0, description="Held and sold.")]
    open_at: Moment
    close_at: Moment
    venue: str | UnsetType = UNSET
    city: str | UnsetType = UNSET
    timeZone: str | UnsetType = UNSET
    localTime: LocalMoment | UnsetType = UNSET


_Wanted = tuple[str, str | None]
"""Queue and concert."""


class _Kept:
    """One list with what it was made of."""

    def __init__(self) -> None:
        self.catalogue: Catalogue | None = None
        self.open: list[Schedule] = []
        self.chosen_ms = self.changes_ms = 0
        """When the next date opens or closes: ``open`` holds from the one to the other."""
        self.versions: list[int] = []
        self.listing: Representation | None = None


class DateListings:
    """The list of each concert, and of all that one queue opens."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._kept: OrderedDict[_Wanted, _Kept] = OrderedDict()

    def listing(self, queue: str, concert: str | None) -> Representation:
        """The bookable dates of a concert, or of all that the queue opens; :class:`UnknownError`
        for a concert that is unknown or behind another queue."""
        wanted = (queue, concert)
        kept = self._kept.get(wanted)
        if kept is None:
            kept = _Kept()
        catalogue, now_ms = self._services.catalogue, self._services.clock.now_ms()
        if catalogue is not kept.catalogue or not kept.chosen_ms <= now_ms < kept.changes_ms:
            self._choose(kept, wanted, catalogue, now_ms)
        self._remember(wanted, kept)
        maps = self._services.seats.seat_maps(kept.open)
        versions = [seats.version for seats in maps]
        if kept.listing is None or versions != kept.versions:
            kept.versions = versions
            kept.listing = _encoded(maps, catalogue)
        return kept.listing

    def _remember(self, wanted: _Wanted, kept: _Kept) -> None:
        self._kept[wanted] = kept
        self._kept.move_to_end(wanted)
        if len(self._kept) > LISTINGS_MAX:
            self._kept.popitem(last=False)

    @staticmethod
    def _choose(kept: _Kept, wanted: _Wanted, catalogue: Catalogue, now_ms: int) -> None:
        queue, concert = wanted
        schedules = [
            schedule
            for schedule in catalogue.schedules.values()
            if schedule.queue == queue and concert in (None, schedule.concert_id)
        ]
        if concert is not None and not schedules:
            raise UnknownError
        ahead = [
            moment
            for schedule in schedules
            for moment in (schedule.booking_start_ms, schedule.booking_end_ms)
            if moment > now_ms
        ]
        kept.catalogue, kept.chosen_ms = catalogue, now_ms
        kept.open = [schedule for schedule in schedules if schedule.bookable(now_ms)]
        # Without any moment ahead only a new catalogue changes the choice.
        kept.changes_ms = min(ahead, default=2**63)
        kept.listing = None


def _encoded(maps: list[SeatMap], catalogue: Catalogue) -> Representation:
    body = data_body([_date(seats, catalogue) for seats in maps])
    return Representation(body, f'"{blake2b(body, digest_size=16).hexdigest()}"')


def _date(seats: SeatMap, catalogue: Catalogue) -> AvailableDate:
    schedule = seats.schedule
    venue = catalogue.venue_of(schedule)
    return AvailableDate(
        id=schedule.id,
        concertId=schedule.concert_id,
        concertName=schedule.concert_name,
        totalSeats=schedule.total_seats,
        reservedSeats=seats.ledger.held + seats.ledger.sold,
        open_at=_moment(schedule.open_ms),
        close_at=_moment(schedule.close_ms),
        venue=venue.name if venue else UNSET,
        city=venue.city if venue else UNSET,
        timeZone=venue.time_zone if venue else UNSET,
        localTime=local_time(schedule.open_ms, venue.time_zone) if venue else UNSET,
    )


class CatalogueCalls(Calls):
    """The calls about concerts and their dates."""

    def __init__(self, services: Services) -> None:
        self._dates = DateListings(services)
        self._services = services
        self._plans = VenuePlans()

    @Route(
        "GET", "/concert/available-dates",
        Answer(200, list[AvailableDate], "By opening time.", ("ETag",)),
        "concert", gate="admitted", params=(id_param("concertId", "Only this concert's dates."),),
        problems=("not_found",),
    )  # fmt: skip
    async def available_dates(self, call: Call) -> Reply:
        """Dates that can be booked now."""
        listing = self._dates.listing(call.holder.queue, call.params["concertId"])
        return listing.reply(call.request)

    @Route(
        "GET", "/concert/venue-plan",
        Answer(200, VenuePlan, "The same for all dates of the venue.", ("ETag",)),
        "concert", params=(DATE,), problems=("not_found",),
    )  # fmt: skip
    async def venue_plan(self, call: Call) -> Reply:
        """Sections, rows and seats of the venue of a date."""
        catalogue = self._services.catalogue
        plan = await self._plans.plan(catalogue, call.params["concertScheduleId"])
        return plan.reply(call.request)
