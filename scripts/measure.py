"""Print the table of figures that the code is kept to, beside their limits.

Usage: scripts/measure

The source is ``booking``, ``actors``, ``http``, ``clients``, ``bench`` and ``scripts``. Lines are
those of ``wc -l``. The lines of a function leave out its docstring and its decorators. An import
counts wherever it stands, in a function and under ``TYPE_CHECKING`` too. Exit status 1 means that a
figure is past its limit. Uses the standard library only.
"""

import ast
import operator
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ("booking", "actors", "http", "clients", "bench", "scripts")
IMPORT_ROOTS = ("http", "clients/python", ".")
"""Folders that the first name of a module is looked up in."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
Explained = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Figure:
    """One line of the table: a value, and the limit it is kept to, if there is one."""

    name: str
    value: float
    sign: str = ""
    limit: float = 0.0

    @property
    def is_kept(self) -> bool:
        """Whether the value is within its limit."""
        compare = {"<=": operator.le, ">=": operator.ge}.get(self.sign)
        return compare is None or bool(compare(self.value, self.limit))


class Code:
    """The Python files in some folders, each parsed once."""

    def __init__(self, *folders: str, root: Path = ROOT) -> None:
        self.root = root
        self.trees = {
            path: ast.parse(path.read_bytes(), filename=str(path))
            for folder in folders
            for path in sorted((root / folder).rglob("*.py"))
        }

    @cached_property
    def module_lines(self) -> list[int]:
        """The number of lines of each file."""
        return [path.read_bytes().count(b"\n") for path in self.trees]

    @cached_property
    def functions(self) -> list[Function]:
        """Every function and method, nested ones too."""
        nodes = (node for tree in self.trees.values() for node in ast.walk(tree))
        return [node for node in nodes if isinstance(node, Function)]

    def unexplained(self) -> list[str]:
        """The public names without a docstring, each as ``file:name``."""
        return [name for name, node in self._public() if ast.get_docstring(node) is None]

    def explained_share(self) -> float:
        """The percentage of public names that have a docstring."""
        return share(ast.get_docstring(node) is not None for _, node in self._public())

    def annotated_share(self) -> float:
        """The percentage of functions with a type on every argument and on the result."""
        return share(map(is_annotated, self.functions))

    def _public(self) -> Iterator[tuple[str, Explained]]:
        for path, tree in self.trees.items():
            if tree.body:
                yield from public_in(tree, path.relative_to(self.root).as_posix())

    def import_circles(self) -> list[list[str]]:
        """One circle for each knot of modules that import each other, cut until none is left."""
        graph = {self._module(path): self._imports(path) for path in self.trees}
        circles = []
        while circle := circle_in(graph):
            circles.append(circle)
            for name in circle:
                graph[name] -= set(circle)
        return circles

    def _module(self, path: Path) -> str:
        root = next(r for r in IMPORT_ROOTS if path.is_relative_to(self.root / r))
        parts = path.relative_to(self.root / root).with_suffix("").parts
        return ".".join(parts).removesuffix(".__init__")

    @cached_property
    def _names(self) -> set[str]:
        return set(map(self._module, self.trees))

    def _imports(self, path: Path) -> set[str]:
        package = self._module(path).split(".")
        if path.stem != "__init__":
            package.pop()
        found: set[str] = set()
        for node in ast.walk(self.trees[path]):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else []
                source = ".".join([*base, *filter(None, [node.module])])
                inner = {f"{source}.{alias.name}" for alias in node.names}
                found |= {name if name in self._names else source for name in inner}
        return found & self._names - {self._module(path)}


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one import circle, or none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return sorted(set(error.args[1]))
    return []


def public_in(node: Explained, name: str) -> Iterator[tuple[str, Explained]]:
    """This module, class or function and the public ones in it; not those within functions."""
    yield name, node
    if isinstance(node, Function):
        return
    for part in node.body:
        if isinstance(part, Function | ast.ClassDef) and not part.name.startswith("_"):
            yield from public_in(part, f"{name}:{part.name}")


def function_lines(node: Function) -> int:
    """The lines of a function, its docstring and decorators left out."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node, clean=False) is not None:
        lines -= (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
    return lines


def is_annotated(node: Function) -> bool:
    """Whether every argument and the result have a type; ``self`` and ``cls`` need none."""
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    arguments += filter(None, [node.args.vararg, node.args.kwarg])
    typed = (a.annotation is not None or a.arg in {"self", "cls"} for a in arguments)
    return node.returns is not None and all(typed)


def share(of: Iterator[bool]) -> float:
    """The percentage that is true."""
    values = list(of)
    return 100 * sum(values) / len(values)


def percentile(values: list[int], percent: int) -> int:
    """The smallest value that so many percent of the values do not pass."""
    return sorted(values)[-(-len(values) * percent // 100) - 1]


def figures() -> list[Figure]:
    """The whole table."""
    source, tests = Code(*SOURCE), Code("tests")
    lines, test_lines = sum(source.module_lines), sum(tests.module_lines)
    functions = [function_lines(node) for node in source.functions]
    return [
        *(Figure(f"lines of {name}", sum(Code(name).module_lines)) for name in SOURCE),
        Figure("lines of source", lines, "<=", 35_500),
        Figure("lines of tests", test_lines),
        Figure("lines of tests for each line of source", test_lines / lines, ">=", 1.15),
        Figure("function lines, median", percentile(functions, 50), "<=", 6),
        Figure("function lines, 95th percentile", percentile(functions, 95), "<=", 22),
        Figure("function lines, maximum", max(functions), "<=", 50),
        Figure("module lines, median", percentile(source.module_lines, 50)),
        Figure("module lines, 95th percentile", percentile(source.module_lines, 95)),
        Figure("module lines, maximum", max(source.module_lines), "<=", 500),
        Figure("public names with a docstring, %", source.explained_share(), ">=", 95),
        Figure("annotated functions, %", source.annotated_share(), ">=", 100),
        Figure("import circles", len(source.import_circles()), "<=", 0),
    ]


def main() -> int:
    """Print the table, and what the limits are passed by."""
    table = figures()
    for figure in table:
        value = f"{figure.value:,.{2 * isinstance(figure.value, float)}f}"
        limit = f"{figure.sign} {figure.limit:,g}" if figure.sign else ""
        print(
            f"{figure.name:<40}{value:>10}  {limit:<10}{'' if figure.is_kept else 'past its limit'}"
        )
    return 0 if all(figure.is_kept for figure in table) else 1


if __name__ == "__main__":
    sys.exit(main())
