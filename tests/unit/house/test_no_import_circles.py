"""No module imports itself by way of others, neither for types nor within a function.

A circle makes its modules one: none of them can be read, tested or changed without the rest.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.house import ROOT, modules_in, tree_of

FOLDERS = ("actors", "booking", "http/booking_http", "clients/python/booking_client", "bench")

KNOWN: frozenset[str] = frozenset()
"""Modules that are in a circle still. Only ever take some away."""

Graph = Mapping[str, frozenset[str]]


def dotted(path: Path) -> str:
    """The name under which a file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    for root in (("http",), ("clients", "python")):
        if parts[: len(root)] == root:
            parts = parts[len(root) :]
    return ".".join(parts).removesuffix(".__init__")


def imported(tree: ast.Module, package: str) -> Iterator[str]:
    """Every name that code of this package imports, at any depth, with what it is taken from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = parts[: len(parts) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{source}.{alias.name}" for alias in node.names)


def graph_of(modules: Mapping[str, tuple[str, ast.Module]]) -> Graph:
    """Who imports whom, given the package and the code of each module. A name that is no module is
    one of its module's."""
    return {
        name: frozenset(
            found if found in modules else found.rpartition(".")[0]
            for found in imported(tree, package)
        )
        & (modules.keys() - {name})
        for name, (package, tree) in modules.items()
    }


def reached_from(start: str, graph: Graph) -> set[str]:
    reached: set[str] = set()
    ahead = list(graph[start])
    while ahead:
        name = ahead.pop()
        if name not in reached:
            reached.add(name)
            ahead += graph[name]
    return reached


def circular_edges(graph: Graph) -> list[str]:
    """The imports that make circles, as ``importer -> imported``."""
    reached = {name: reached_from(name, graph) for name in graph}
    return [
        f"{name} -> {other}"
        for name, others in sorted(graph.items())
        for other in sorted(others)
        if name in reached[other]
    ]


def test_circles_are_found_wherever_they_hide() -> None:
    sources = {
        "a": "if TYPE_CHECKING:\n  from b import X",
        "b": "def f():\n  import c.d",
        "c": "",
        "c.d": "from . import e",
        "c.e": "from a import Y",
        "z": "import a",
    }
    modules = {name: (name.rpartition(".")[0], ast.parse(text)) for name, text in sources.items()}
    found = circular_edges(graph_of(modules))
    assert found == ["a -> b", "b -> c.d", "c.d -> c.e", "c.e -> a"]


def test_no_module_imports_itself_by_way_of_others() -> None:
    modules = {}
    for path in modules_in(*FOLDERS):
        name = dotted(path)
        package = name if path.stem == "__init__" else name.rpartition(".")[0]
        modules[name] = (package, tree_of(path))
    edges = circular_edges(graph_of(modules))
    circular = {edge.split(" -> ")[0] for edge in edges}
    new = [edge for edge in edges if edge.split(" -> ")[0] not in KNOWN]
    assert new == [], "these imports make a circle"
    assert circular >= KNOWN, "no longer in a circle: take them out of the list"
