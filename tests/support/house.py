"""Ways to look at the project's own files, for the tests that guard how it is built."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("booking", "actors", "http/booking_http", "clients/python/booking_client")
NOT_OURS = {"__pycache__", "dist", "build", "results", "node_modules"}
"""Folders whose content nobody here writes. Hidden ones are left out too, but for .ci."""


def modules_in(*folders: str) -> list[Path]:
    return [
        path
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "__pycache__" not in path.parts
    ]


DOMAIN = [path for path in modules_in("booking") if "domain" in (*path.parts, path.stem)]
"""The pure rules: every module named ``domain``, and every module of a package named so."""


@lru_cache(maxsize=1024)
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def name_of(path: Path) -> str:
    """As it is written in lists and messages: relative to the root, with ``/``."""
    return path.relative_to(ROOT).as_posix()


def own_files() -> Iterator[Path]:
    """Every file that belongs to the project, tracked or about to be."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = sorted(f for f in folders if f not in NOT_OURS and _is_ours(f))
        for file in sorted(files):
            if not file.endswith((".pyc", ".log")):
                yield Path(folder, file)


def _is_ours(folder: str) -> bool:
    return folder == ".ci" or not (folder.startswith(".") or folder.endswith(".egg-info"))
