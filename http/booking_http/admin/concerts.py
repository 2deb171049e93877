"""Concerts, dates and seats, changed by whole documents while the service runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from booking.audit.admin import CatalogueSaved
from booking_http.admin.desk import Desk
from booking_http.admin.rows import row
from booking_http.admin.schemas import CatalogueChanged
from booking_http.bodies import check_content_type, read_body
from booking_http.dispatch import data_reply
from booking_http.problems import malformed
from booking_http.reply import Reply
from booking_http.routes import Answer, Call, Route

CATALOGUE_SIZE_MAX = 8 * 2**20
"""Bytes: a season of 250,000 seats that are listed one by one, 30 bytes each. Larger ones are for
``booking catalog import``, which takes no memory of an instance that serves."""
CATALOGUE_TIMEOUT_S = 60.0
"""For such a document to arrive: at 150 kB/s."""

_SAVED = Answer(200, CatalogueChanged, "It is stored; all instances have it within a second or so.")


class ConcertDeskCalls:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def put_all(self, call: Call) -> Reply:
        catalogue = self._desk.catalogue
        return await self._put(call, "catalogue", {}, catalogue.save)

    async def put_one(self, call: Call) -> Reply:
        catalogue, concert = self._desk.catalogue, call.path_id
        return await self._put(
            call,
            "concert",
            {"concert": concert},
            lambda text: catalogue.save_concert(concert, text),
        )

    async def _put(
        self,
        call: Call,
        what: str,
        detail: dict[str, object],
        save: Callable[[bytes], Awaitable[CatalogueSaved]],
    ) -> Reply:
        text = await read_body(call.request, CATALOGUE_TIMEOUT_S, CATALOGUE_SIZE_MAX)
        if not text:
            raise malformed("A body is needed.")
        check_content_type(call.request)
        async with self._desk.noted(call, what, {**detail, "bytes": len(text)}):
            saved = await save(text)
        return data_reply(CatalogueChanged(saved.concerts, saved.dates, saved.version))

    def routes(self) -> tuple[Route, ...]:
        desk = self._desk
        problems = ("catalogue_invalid", "catalogue_conflict")
        return (
            row(
                desk, "PUT", "/admin/concerts", self.put_all, "putConcerts",
                "Create and change concerts; those that are not in the document stay",
                _SAVED, body=dict, problems=problems,
            ),
            row(
                desk, "PUT", "/admin/concerts/{id}", self.put_one, "putConcert",
                "Create or change one concert", _SAVED, body=dict,
                problems=(*problems, "not_found"),
            ),
        )  # fmt: skip
