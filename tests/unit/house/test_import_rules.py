"""The rooms and what each may import: the table in CONTRIBUTING.md as a test.

import-linter holds the indirect part of it (see pyproject.toml); here are the direct imports, and
what its contracts cannot say.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import pytest

from tests.support.house import DOMAIN, ROOT, modules_in, name_of, tree_of

OURS = {"actors", "booking", "booking_http"}
IMPORTED_AS = {
    "nats_py": "nats",
    "opentelemetry_sdk": "opentelemetry",
    "opentelemetry_exporter_otlp_proto_http": "opentelemetry.exporter.otlp",
}
"""Packages whose modules are not named as they are."""
DOMAIN_PACKAGES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in DOMAIN
}


def imports_in(tree: ast.Module, package: str) -> Iterator[str]:
    """Every module that code of this package imports, at any depth, relative ones made absolute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = parts[: len(parts) - node.level + 1] if node.level else []
            if node.module:
                yield ".".join([*base, node.module])
            else:
                yield from (".".join([*base, alias.name]) for alias in node.names)


def imports_of(path: Path) -> Iterator[str]:
    parts = path.parent.relative_to(ROOT).parts
    return imports_in(tree_of(path), ".".join(parts[1:] if parts[0] == "http" else parts))


def wrong_imports(folder: str, allowed: set[str]) -> list[str]:
    return wrong_imports_of(modules_in(folder), allowed)


def wrong_imports_of(paths: Iterable[Path], allowed: set[str]) -> list[str]:
    """Imports of anything but the standard library and the allowed modules and what is in them."""
    return [
        f"{name_of(path)} imports {name}"
        for path in paths
        for name in imports_of(path)
        if name.split(".")[0] not in sys.stdlib_module_names
        and not any(name == a or name.startswith(f"{a}.") for a in allowed)
    ]


def test_imports_are_found_wherever_they_hide() -> None:
    source = "import a.b\ndef f():\n  from c.d import e\n  from . import g\n  from ..h import i\n"
    assert list(imports_in(ast.parse(source), "x.y")) == ["a.b", "c.d", "x.y.g", "x.h"]


def test_the_domain_imports_only_the_standard_library_and_msgspec() -> None:
    assert DOMAIN
    assert wrong_imports_of(DOMAIN, DOMAIN_PACKAGES | {"msgspec"}) == []


def test_public_events_are_made_without_io() -> None:
    paths = [path for path in modules_in("booking/events") if path.stem != "places"]
    inward = {"actors.consumers.contract", "booking.entities", "booking.events", "attrs", "msgspec"}
    assert wrong_imports_of(paths, DOMAIN_PACKAGES | inward) == []


@pytest.mark.parametrize(
    "module",
    ["asyncio", "datetime", "logging", "os", "random", "secrets", "socket", "time", "uuid"],
)
def test_the_domain_has_no_clock_no_chance_and_no_io(module: str) -> None:
    offenders = [
        name_of(path)
        for path in DOMAIN
        if any(name.split(".")[0] == module for name in imports_of(path))
    ]
    assert offenders == []


def test_the_runtime_has_never_heard_of_concerts() -> None:
    assert wrong_imports("actors", {"actors"} | declared_packages()) == []


def test_the_edge_does_not_reach_into_the_composition_root() -> None:
    """The edge sees ``booking.services``, the domain's values and the runtime's errors. The command
    line and the embedded servers put it to work, never the other way round."""
    offenders = [
        f"{name_of(path)} imports {name}"
        for path in modules_in("http/booking_http")
        for name in imports_of(path)
        if name.startswith(("booking.cli", "booking.embedded"))
    ]
    assert offenders == []


def test_the_client_needs_nothing_of_the_service() -> None:
    """It is for other people's programs: two libraries are all they have to bring."""
    allowed = {"booking_client", "aiohttp", "msgspec"}
    assert wrong_imports("clients/python/booking_client", allowed) == []


@pytest.mark.parametrize("folder", ["actors", "booking", "http/booking_http"])
def test_only_declared_packages_are_imported(folder: str) -> None:
    """So that nothing works by luck of what another package happens to need."""
    ours = OURS | {"booking_client"} if folder == "booking" else OURS
    assert wrong_imports(folder, ours | declared_packages()) == []


def test_only_the_command_line_and_its_crowd_use_the_client() -> None:
    users = {
        path.parent.relative_to(ROOT).parts[1]
        for path in modules_in("booking")
        if any(name.split(".")[0] == "booking_client" for name in imports_of(path))
    }
    assert users == {"cli", "crowd"}


def declared_packages() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    found = {_distribution(requirement) for requirement in wanted}
    return {IMPORTED_AS.get(name, name) for name in found}


def _distribution(requirement: str) -> str:
    name = requirement
    for stop in "><=!~;[ ":
        name = name.split(stop)[0]
    return name.replace("-", "_").lower()


# -- the folder named http -----------------------------------------------------------------------


def test_the_standard_library_keeps_its_http_in_the_repository_root() -> None:
    program = "import http.client, aiohttp; print(http.client.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = Path(done.stdout.strip())
    assert found.parts[-2:] == ("http", "client.py")
    assert (ROOT / "http") not in found.parents


def test_the_http_folder_holds_packages_and_no_module_of_its_own() -> None:
    assert [name_of(path) for path in (ROOT / "http").glob("*.py*")] == []


def test_no_test_folder_is_named_http() -> None:
    assert [name_of(path) for path in (ROOT / "tests").rglob("http") if path.is_dir()] == []
