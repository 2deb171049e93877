"""Dates and seats: answered from memory, encoded once for each version."""

from __future__ import annotations

from booking.calls import UnknownError
from booking.services import Services
from booking_http.catalogue.dates import DateListings
from booking_http.etags import matches
from booking_http.inputs import flag
from booking_http.listing import Listing
from booking_http.params import id_param
from booking_http.reply import JSON, REVALIDATE, Reply
from booking_http.routes import Answer, Call, Param, Route
from booking_http.schemas import AvailableDate, AvailableSeat
from booking_http.seats.listing import SeatListings

_ALL = Param(
    "all", flag, {"type": "boolean"}, "true: taken seats too, with their state.", default=False
)


class ConcertCalls:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._dates = DateListings(services)
        self._seats = SeatListings(services.seats)

    async def dates(self, call: Call) -> Reply:
        return _conditional(call, self._dates.listing(call.holder.queue, call.params["concertId"]))

    async def seats(self, call: Call) -> Reply:
        schedule = call.params["concertScheduleId"]
        if not self._services.catalogue.opens(call.holder.queue, schedule):
            raise UnknownError
        return _conditional(call, self._seats.listing(schedule, call.params["all"]))

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(
                "GET",
                "/concert/available-dates",
                self.dates,
                "availableDates",
                "Dates that can be booked now",
                Answer(200, list[AvailableDate], "By opening time.", ("ETag",), also=(304,)),
                "concert",
                gate="admitted",
                params=(id_param("concertId", "Only this concert's dates."),),
                problems=("not_found",),
            ),
            Route(
                "GET",
                "/concert/available-seats",
                self.seats,
                "availableSeats",
                "Free seats of a date",
                Answer(200, list[AvailableSeat], "By number.", ("ETag",), also=(304,)),
                "concert",
                gate="admitted",
                params=(id_param("concertScheduleId", "The date.", required=True), _ALL),
                problems=("not_found",),
            ),
        )


def _conditional(call: Call, listing: Listing) -> Reply:
    """The listing, or 304 if the client has it already."""
    headers = REVALIDATE + b"ETag: " + listing.etag.encode() + b"\r\n"
    wanted = call.request.headers.get("If-None-Match")
    if wanted is not None and matches(wanted, listing.etag):
        return Reply(304, headers)
    return Reply(200, JSON + headers, listing.body)
