"""Health, metrics, and the OpenAPI document."""

import asyncio
from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from booking.services import Readiness, Services
from booking_http.inputs import bare_flag
from booking_http.metrics import EdgeMetrics
from booking_http.problems import RefusedError
from booking_http.reply import JSON, NO_STORE, PUBLIC, Reply, data_reply, header
from booking_http.routes import Answer, Call, Calls, Param, Route
from booking_http.settings import EdgeSettings

_VERBOSE = Param(
    "verbose",
    bare_flag,
    {"type": "boolean"},
    "Each check by name; the name alone is enough.",
    default=False,
    allow_empty=True,
)


class Health(msgspec.Struct, frozen=True, omit_defaults=True):
    """``checks`` only with ``?verbose``."""

    status: Literal["alive", "ready"]
    checks: dict[str, str] | UnsetType = UNSET


class SystemCalls(Calls):
    """Health, numbers, the OpenAPI document. ``draining``: the instance is about to stop."""

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
        self.document = b""
        """The document; set when the table, which it describes, is complete."""

    @Route("GET", "/livez", Answer(200, Health, "It does."))
    async def livez(self, call: Call) -> Reply:
        """Whether the process answers."""
        return data_reply(Health("alive"))

    @Route(
        "GET", "/readyz", Answer(200, Health, "It should."), params=(_VERBOSE,),
        problems=("not_ready",),
    )  # fmt: skip
    async def readyz(self, call: Call) -> Reply:
        """Whether it should get traffic."""
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

    @Route("GET", "/metrics", Answer(200, None, "Prometheus text.", media="text/plain"))
    async def metrics(self, call: Call) -> Reply:
        """Numbers."""
        body, content_type = self._metrics.render(call.request.headers.get("Accept", ""))
        return Reply(200, header("Content-Type", content_type) + NO_STORE, body)

    @Route("GET", "/openapi.json", Answer(200, {"type": "object"}, "This document."))
    async def openapi(self, call: Call) -> Reply:
        """This document."""
        return Reply(200, JSON + PUBLIC, self.document)


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
