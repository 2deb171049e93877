"""The alerts and the dashboard, in front of a real Prometheus that scrapes a real service."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.integration.observability.test_metrics import PAGE as METRICS_PAGE
from tests.integration.observability.test_metrics import ROW, a_sale
from tests.support.api_client import eventually
from tests.support.house import ROOT
from tests.support.prometheus import RULES, prometheus, promtool

BOARD = ROOT / "deploy" / "grafana" / "dashboards" / "booking.json"
ALERTS = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
OF_PROMETHEUS = {"up"}
OF_THE_PROCESS = re.compile(r"process_\w+")


def board_queries() -> Iterator[str]:
    for panel in json.loads(BOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"].replace("$__rate_interval", "1m")


def metrics_in(expression: str) -> set[str]:
    without_labels = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(by|le)\b\s*(\([^)]*\))?", " ", expression)
    return set(re.findall(r"\b(?:up|(?:booking|http|process)_\w+)", without_labels))


def test_promtool_finds_no_fault() -> None:
    assert "SUCCESS" in promtool("check", "rules", "alerts.yml")
    assert "SUCCESS" in promtool("check", "config", "prometheus.yml")
    assert "SUCCESS" in promtool("test", "rules", "alerts_test.yml")


def test_every_alert_is_tried_in_the_rule_tests() -> None:
    tests = yaml.safe_load((RULES.parent / "alerts_test.yml").read_text())["tests"]
    fired = {
        tried["alertname"]
        for test in tests
        for tried in test["alert_rule_test"]
        if tried["exp_alerts"]
    }
    assert fired == {alert["alert"] for alert in ALERTS}


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    listed = (ROOT / "docs" / "runbooks" / "README.md").read_text()
    monitor = (ROOT / "docs" / "how-to" / "monitor.md").read_text()
    used = set()
    for alert in ALERTS:
        page = ROOT / alert["annotations"]["runbook_url"]
        used.add(page)
        assert f"`{alert['alert']}`" in page.read_text()
        assert f"`{alert['alert']}`" in listed
        severity = alert["labels"]["severity"]
        assert f"| `{alert['alert']}` | {severity} | [" in monitor
        assert f"/runbooks/{page.name})" in monitor
    kept = {p for p in (ROOT / "docs" / "runbooks").glob("*.md") if p.name != "README.md"}
    assert used == kept


def test_alerts_and_dashboard_ask_for_metrics_that_exist() -> None:
    told = {name for name, *_ in ROW.findall(METRICS_PAGE)}
    histograms = {name for name, kind, *_ in ROW.findall(METRICS_PAGE) if kind == "histogram"}
    told |= {f"{name}_{part}" for name in histograms for part in ("bucket", "count", "sum")}
    for expression in (*board_queries(), *(alert["expr"] for alert in ALERTS)):
        unknown = metrics_in(expression) - told - OF_PROMETHEUS
        assert {name for name in unknown if not OF_THE_PROCESS.fullmatch(name)} == set(), expression


async def test_a_real_prometheus_scrapes_and_understands_it_all(
    running_service: str, tmp_path: Path
) -> None:
    await a_sale(running_service)
    async with prometheus(tmp_path, running_service.removeprefix("http://")) as running:

        async def scraped_twice() -> bool:
            found = await running.query('count_over_time(booking_shards_owned{job="booking"}[1m])')
            return bool(found) and float(found[0]["value"][1]) >= 2

        await eventually(scraped_twice)
        (target,) = (await running.get("/api/v1/targets"))["activeTargets"]
        assert (target["health"], target["lastError"]) == ("up", "")
        assert await running.value("sum(booking_shards_owned)") == 256
        assert await running.value("booking_seats_sold_total") == 1

        loaded = {
            rule["name"]: rule
            for group in (await running.get("/api/v1/rules"))["groups"]
            for rule in group["rules"]
        }
        assert set(loaded) == {alert["alert"] for alert in ALERTS}

        async def evaluated() -> bool:
            groups = (await running.get("/api/v1/rules"))["groups"]
            return all(rule["health"] == "ok" for group in groups for rule in group["rules"])

        await eventually(evaluated)
        assert (await running.get("/api/v1/alerts"))["alerts"] == []
        empty = [query for query in board_queries() if not await running.query(query)]
        assert empty == []
