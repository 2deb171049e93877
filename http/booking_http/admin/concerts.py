"""Concerts, dates and seats, changed by whole documents while the service runs."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import asdict

from booking.catalogue.contract import CatalogueSaved
from booking_http.admin.placement import Reason
from booking_http.admin.service import AdminCalls
from booking_http.inputs import check_content_type, read_body
from booking_http.problems import malformed
from booking_http.reply import Reply, data_reply
from booking_http.routes import Answer, Call, Route

CATALOGUE_SIZE_MAX = 8 * 2**20
"""Bytes: a season of 250,000 seats that are listed one by one, 30 bytes each. Larger ones are for
``booking catalog import``, which takes no memory of an instance that serves."""
CATALOGUE_TIMEOUT_S = 60.0
"""For such a document to arrive: at 150 kB/s."""


class CatalogueChanged(msgspec.Struct, frozen=True):
    """What was in the document, and the catalogue's version with it."""

    concerts: int
    dates: int
    version: int


class SeatsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Numbers and ranges of numbers, such as ``1-10,15``."""

    seats: Annotated[str, Meta(min_length=1, max_length=10_000)]


class BlockBody(SeatsBody, frozen=True):
    """Seats that are not for sale from now on, and why."""

    reason: Reason


class SeatsChanged(msgspec.Struct, frozen=True):
    """The catalogue's version with it."""

    version: int


_SAVED = Answer(200, CatalogueChanged, "It is stored; all instances have it within a second or so.")
_SEATS = Answer(200, SeatsChanged, "It is stored; all instances have it within a second or so.")
_PROBLEMS = ("catalogue_invalid", "catalogue_conflict")
_REFUSED = ("catalogue_conflict", "not_found")


class ConcertAdminCalls(AdminCalls):
    """The calls about the catalogue."""

    @Route("PUT", "/admin/concerts", _SAVED, body=dict, problems=_PROBLEMS)
    async def put_concerts(self, call: Call) -> Reply:
        """Create and change concerts; those that are not in the document stay."""
        return await self._put(call, "catalogue", {}, self.admin.catalogue.save)

    @Route("PUT", "/admin/concerts/{id}", _SAVED, body=dict, problems=(*_PROBLEMS, "not_found"))
    async def put_concert(self, call: Call) -> Reply:
        """Create or change one concert."""
        catalogue, concert = self.admin.catalogue, call.path_id
        save = partial(catalogue.save_concert, concert)
        return await self._put(call, "concert", {"concert": concert}, save)

    @Route("POST", "/admin/dates/{id}/block", _SEATS, body=BlockBody, problems=_REFUSED)
    async def block_seats(self, call: Call) -> Reply:
        """Take seats of a date off sale; none of them may be held or sold."""
        return await self._block(call, "block", call.body.reason)

    @Route("POST", "/admin/dates/{id}/open", _SEATS, body=SeatsBody, problems=_REFUSED)
    async def open_seats(self, call: Call) -> Reply:
        """Put blocked seats of a date on sale."""
        return await self._block(call, "open", "")

    async def _block(self, call: Call, what: str, reason: str) -> Reply:
        detail = {"date": call.path_id, **asdict(call.body)}
        async with self.admin.noted(call, what, detail):
            version = await self.admin.catalogue.block(call.path_id, call.body.seats, reason)
        return data_reply(SeatsChanged(version))

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
        async with self.admin.noted(call, what, {**detail, "bytes": len(text)}):
            saved = await save(text)
        return data_reply(CatalogueChanged(saved.concerts, saved.dates, saved.version))
