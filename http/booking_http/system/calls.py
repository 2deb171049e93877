"""Health, numbers, and the documents about the service itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec import UNSET

from booking.services import Readiness, Services
from booking_http.dispatch import data_reply
from booking_http.inputs import bare_flag
from booking_http.metrics import EdgeMetrics
from booking_http.pages import Page
from booking_http.problems import RefusedError
from booking_http.reply import JSON, NO_STORE, Reply, header
from booking_http.routes import Answer, Call, Param, Route
from booking_http.schemas import Health
from booking_http.settings import EdgeSettings

_VERBOSE = Param(
    "verbose",
    bare_flag,
    {"type": "boolean"},
    "Each check by name; the name alone is enough.",
    default=False,
    allow_empty=True,
)
_REVALIDATE_PUBLIC = b"Cache-Control: no-cache\r\n"


class SystemCalls:
    """``draining`` tells whether the instance is about to stop."""

    def __init__(
        self,
        services: Services,
        settings: EdgeSettings,
        metrics: EdgeMetrics,
        draining: Callable[[], bool],
    ) -> None:
        self._services = services
        self._timeout_s = settings.readiness_timeout_s
        self._metrics = metrics
        self._draining = draining
        self.openapi = b""
        """The document; set when the table, which it describes, is complete."""

    async def livez(self, call: Call) -> Reply:
        return data_reply(Health("alive"))

    async def readyz(self, call: Call) -> Reply:
        readiness = await self._readiness()
        if not readiness.ready:
            raise _NotReadyError(readiness, call.params["verbose"])
        checks = dict.fromkeys(readiness.checks, "ok") if call.params["verbose"] else UNSET
        return data_reply(Health("ready", checks))

    async def _readiness(self) -> Readiness:
        if self._draining():
            return Readiness({"edge": "draining"})
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._services.readiness()
        except TimeoutError:
            return Readiness({"checks": f"no answer within {self._timeout_s:g} s"})

    async def metrics(self, call: Call) -> Reply:
        body, content_type = self._metrics.render(call.request.headers.get("Accept", ""))
        return Reply(200, header("Content-Type", content_type) + NO_STORE, body)

    async def document(self, call: Call) -> Reply:
        return Reply(200, JSON + _REVALIDATE_PUBLIC, self.openapi)

    def routes(self, pages: tuple[Page, ...]) -> tuple[Route, ...]:
        text = Answer(200, None, "Prometheus text.", media="text/plain")
        document = Answer(200, {"type": "object"}, "This document.", media="application/json")
        return (
            Route(
                "GET",
                "/livez",
                self.livez,
                "livez",
                "Whether the process answers",
                Answer(200, Health, "It does."),
                "system",
            ),
            Route(
                "GET",
                "/readyz",
                self.readyz,
                "readyz",
                "Whether it should get traffic",
                Answer(200, Health, "It should."),
                "system",
                params=(_VERBOSE,),
                problems=("not_ready",),
            ),
            Route("GET", "/metrics", self.metrics, "metrics", "Numbers", text, "system"),
            Route(
                "GET",
                "/openapi.json",
                self.document,
                "openapi",
                "This document",
                document,
                "system",
            ),
            *(page.route() for page in pages),
        )


class _NotReadyError(RefusedError):
    def __init__(self, readiness: Readiness, verbose: bool) -> None:
        failing = {name: words for name, words in readiness.checks.items() if words is not None}
        shown = {name: words or "ok" for name, words in readiness.checks.items()}
        super().__init__(
            "not_ready",
            f"Failing: {', '.join(failing)}.",
            {"Retry-After": "1"},
            {"checks": shown} if verbose else None,
        )
