"""The style the project keeps, as tests: what a reviewer would otherwise have to say each time."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from scripts.measure import function_lines
from tests.support.house import DOMAIN, PACKAGES, modules_in, name_of, own_files, tree_of

FUNCTION_LINES_MAX = 50
"""The best code of this field stays under it; most of ours is under 22."""
MODULE_LINES_MAX = 500

LONG_ON_PURPOSE: dict[str, str] = {}
"""``file`` or ``file:function`` to the reason why it may pass the limit."""

SQL_IN_PYTHON: dict[str, str] = {
    "actors/journal/postgres.py": "puts the parts in append.sql that a batch has rows for "
    "around one line",
    "booking/schema/migrate.py": "four short statements about the table that says which .sql files "
    "were run, needed before any of them is",
    "booking/embedded/postgres.py": "CREATE DATABASE takes no parameters, and is said to a server "
    "in single-user mode, through its standard input",
}
"""``file`` to the reason why it may hold a statement instead of a .sql file."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
ALL_MODULES = modules_in(*PACKAGES)


def functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{name_of(path)}:{node.name} has {function_lines(node)} lines"
        for path in ALL_MODULES
        for node in functions(tree_of(path))
        if function_lines(node) > FUNCTION_LINES_MAX
        and f"{name_of(path)}:{node.name}" not in LONG_ON_PURPOSE
    ]
    assert long == []


def test_no_module_is_longer_than_its_limit() -> None:
    sizes = {name_of(path): len(path.read_bytes().splitlines()) for path in ALL_MODULES}
    long = {name: lines for name, lines in sizes.items() if lines > MODULE_LINES_MAX}
    assert {name: lines for name, lines in long.items() if name not in LONG_ON_PURPOSE} == {}


def test_every_module_says_what_it_is() -> None:
    silent = [
        name_of(path)
        for path in ALL_MODULES
        if path.stat().st_size and ast.get_docstring(tree_of(path)) is None
    ]
    assert silent == []


def test_public_classes_and_functions_of_the_core_are_explained() -> None:
    silent = [
        f"{name_of(path)}:{node.name}"
        for path in (*DOMAIN, *modules_in("actors"))
        for node in tree_of(path).body
        if isinstance(node, Function | ast.ClassDef)
        and not node.name.startswith("_")
        and ast.get_docstring(node) is None
        and not speaks_for_itself(node)
    ]
    assert silent == []


def speaks_for_itself(node: ast.AST) -> bool:
    """A class of nothing but fields, whose names say all there is to say about a command, an event
    or a reply; or a function that only passes on to one expression."""
    if isinstance(node, ast.ClassDef):
        return all(isinstance(part, ast.AnnAssign | ast.Expr) for part in node.body)
    return isinstance(node, Function) and len(node.body) == 1


# -- what only one place may do ------------------------------------------------------------------


def calls(tree: ast.Module) -> Iterator[str]:
    """The dotted names that are called."""
    return (ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))


def test_tasks_are_started_only_by_the_supervised_group() -> None:
    """A task started elsewhere could be forgotten, and its exception with it."""
    starters = ("create_task", "ensure_future", "run_coroutine_threadsafe")
    offenders = [
        f"{name_of(path)} calls {name}"
        for path in ALL_MODULES
        if name_of(path) != "actors/tasks.py"
        for name in calls(tree_of(path))
        if name.split(".")[0] in {"asyncio", "loop"} and name.endswith(starters)
    ]
    assert offenders == []


def test_the_core_reads_no_clock_and_draws_no_numbers() -> None:
    """``now`` is an argument; so are ids."""
    forbidden = re.compile(r"\b(time\.\w+|datetime\.\w*now|\w*random\.\w+|secrets\.\w+|uuid\d)$")
    offenders = [
        f"{name_of(path)} calls {name}"
        for path in DOMAIN
        for name in calls(tree_of(path))
        if forbidden.search(name)
    ]
    assert offenders == []


STATEMENT = re.compile(
    r"^\s*(SELECT\s|INSERT\s+INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s"
    r"|WITH\s+\w+\s.*?AS\s*\(|(CREATE|DROP|ALTER)\s+(TABLE|INDEX|DATABASE|ROLE|SCHEMA)\b)",
    re.DOTALL,
)


def statements_in(tree: ast.Module) -> Iterator[str]:
    return (
        node.value.strip().splitlines()[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and STATEMENT.match(node.value)
    )


def test_sql_lives_in_sql_files() -> None:
    offenders = [
        f"{name_of(path)}: {statement}"
        for path in ALL_MODULES
        if name_of(path) not in SQL_IN_PYTHON
        for statement in statements_in(tree_of(path))
    ]
    assert offenders == []


def test_every_exception_to_a_rule_is_still_needed() -> None:
    for name in (*LONG_ON_PURPOSE, *SQL_IN_PYTHON):
        path = next((p for p in ALL_MODULES if name_of(p) == name.split(":")[0]), None)
        assert path is not None, f"{name} is gone"
    for name in SQL_IN_PYTHON:
        path = next(p for p in ALL_MODULES if name_of(p) == name)
        assert list(statements_in(tree_of(path))), f"{name} holds no statement any more"


def test_every_ignore_carries_its_reason() -> None:
    """``# type: ignore[code]  # reason`` or ``# noqa: CODE - reason``, never a bare one."""
    bare = re.compile(
        r"#\s*type:\s*ignore(?!\[[\w, -]+\]\s+(#|--?)\s*\w)"
        r"|#\s*noqa(?!: ?[A-Z]+\d+(, ?[A-Z]+\d+)*\s+(#|--?|\u2014)\s*\w)"
    )
    offenders = [
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in (*ALL_MODULES, *modules_in("scripts"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if bare.search(line)
    ]
    assert offenders == []


# -- what no file holds --------------------------------------------------------------------------


def text_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


INDEX = re.compile("|".join(("py" + "pi.org", "python" + "hosted", "npm" + "js.com")))
HOME = re.compile(
    "(?<![\\w.])(" + "|".join(("/ro" + "ot/", "/ho" + "me/[a-z]", "/Us" + "ers/[a-z]")) + ")"
)


def findings(pattern: re.Pattern[str], files: Iterable[Path]) -> list[str]:
    return [
        f"{name_of(path)}: {found.group()}"
        for path in files
        if (text := text_of(path)) is not None and (found := pattern.search(text))
    ]


def test_no_file_names_a_package_index() -> None:
    """Whoever installs brings their own index, or a directory of wheels."""
    assert findings(INDEX, own_files()) == []


def test_no_file_names_the_machine_it_was_written_on() -> None:
    """Tests may: there it is made up."""
    assert findings(HOME, (path for path in own_files() if "tests" not in path.parts)) == []
