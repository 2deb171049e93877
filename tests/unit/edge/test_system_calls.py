"""Health, metrics, pages."""

from __future__ import annotations

import re

from prometheus_client.parser import text_string_to_metric_families

from booking_http import EdgeSettings
from tests.support.edge import ALICE, Edge, running

CHECKS = ("journal", "shards", "draining")


async def test_livez_asks_nobody(edge: Edge) -> None:
    edge.instance.fail(RuntimeError())
    edge.instance.journal.pause()
    answer = await edge("GET", "/livez")
    assert (answer.status, answer.data) == (200, {"status": "alive"})


async def test_readyz_tells_each_check_when_asked(edge: Edge) -> None:
    assert (await edge("GET", "/readyz")).data == {"status": "ready"}
    for spelling in ("verbose", "verbose=true"):
        answer = await edge("GET", f"/readyz?{spelling}")
        assert answer.data == {"status": "ready", "checks": dict.fromkeys(CHECKS, "ok")}
    edge.instance.journal.go_away()
    cause = "out of reach: the journal store is out of reach"
    for target, checks in (
        ("/readyz", None),
        ("/readyz?verbose", {**dict.fromkeys(CHECKS, "ok"), "journal": cause}),
    ):
        answer = await edge("GET", target)
        assert (answer.status, answer.code) == (503, "not_ready")
        assert answer.headers["Retry-After"] == "1"
        assert answer.json.get("checks") == checks
        assert "journal" in answer.json["detail"]


async def test_readyz_does_not_wait_for_ever() -> None:
    async with running(settings=EdgeSettings(readiness_timeout_s=0.1)) as edge:
        edge.instance.journal.pause()
        answer = await edge("GET", "/readyz")
        assert (answer.status, answer.code) == (503, "not_ready")


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_metrics_count_requests_by_route_and_status(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    for name in ("a", "b", "c"):
        await edge("GET", f"/reservation/{name}", token=token)
    await edge("GET", "/etc/passwd")
    await edge("PROPFIND", "/livez")
    answer = await edge("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    shown = samples(answer.body.decode())
    base = "http_server_request_duration_seconds"

    def count(method: str, route: str, status: str, **more: str) -> float:
        labels = {
            "http_request_method": method,
            "http_route": route,
            "http_response_status_code": status,
        }
        name = f"{base}_bucket" if more else f"{base}_count"
        return shown[name, frozenset({**labels, **more}.items())]

    assert count("GET", "/reservation/{id}", "404") == 3
    assert count("GET", "/reservation/{id}", "404", le="+Inf") == 3
    assert count("POST", "/queue/issue", "201") == 1
    assert count("GET", "unmatched", "404") == 1
    assert count("_OTHER", "/livez", "405") == 1
    assert shown["http_server_active_requests", frozenset()] == 1  # this one
    assert shown["http_server_connections", frozenset()] >= 1
    assert shown["booking_queue_waiting", frozenset()] == 3
    assert shown["booking_commits_total", frozenset()] == 7
    assert token not in answer.body.decode()
    assert ALICE not in answer.body.decode()


async def test_metrics_are_also_told_as_openmetrics(edge: Edge) -> None:
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = await edge("GET", "/metrics", headers=accept)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.body.endswith(b"# EOF\n")


async def test_the_documentation_page_loads_nothing_from_elsewhere(edge: Edge) -> None:
    page = await edge("GET", "/docs")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    for directive in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"):
        assert directive in page.headers["Content-Security-Policy"]
    assert page.headers["X-Frame-Options"] == "DENY"
    names = re.findall(r'(?:src|href)="([^"]+)"', page.body.decode())
    own = [name for name in names if not name.startswith("data:")]
    assert {"/docs/docs.js", "/docs/docs.css", "/openapi.json"} <= set(own)
    for name in own:
        assert name.startswith("/"), name
        assert (await edge("GET", name)).status == 200
    for name in ("/docs", "/docs/docs.js", "/docs/docs.css"):
        assert b"//cdn" not in (await edge("GET", name)).body
        assert not re.search(rb"https?://", (await edge("GET", name)).body)


async def test_a_page_that_is_known_is_not_sent_again(edge: Edge) -> None:
    etag = (await edge("GET", "/docs/docs.js")).headers["ETag"]
    answer = await edge("GET", "/docs/docs.js", headers={"If-None-Match": etag})
    assert (answer.status, answer.body) == (304, b"")
