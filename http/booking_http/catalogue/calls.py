"""Concerts and dates: answered from memory, encoded once for each version."""

from __future__ import annotations

from booking.services import Services
from booking_http.catalogue.dates import AvailableDate, DateListings
from booking_http.reply import Reply
from booking_http.routes import Answer, Call, Calls, Route, id_param


class CatalogueCalls(Calls):
    """The calls about concerts and their dates."""

    def __init__(self, services: Services) -> None:
        self._dates = DateListings(services)

    @Route(
        "GET", "/concert/available-dates",
        Answer(200, list[AvailableDate], "By opening time.", ("ETag",), also=(304,)),
        "concert", gate="admitted", params=(id_param("concertId", "Only this concert's dates."),),
        problems=("not_found",),
    )  # fmt: skip
    async def available_dates(self, call: Call) -> Reply:
        """Dates that can be booked now."""
        listing = self._dates.listing(call.holder.queue, call.params["concertId"])
        return listing.reply(call.request)
