"""The glossary has the noun of every public class, unless the noun is plain English."""

from __future__ import annotations

import ast
import re

from tests.support.house import ROOT, modules_in, tree_of

GLOSSARY = ROOT / "docs" / "reference" / "glossary.md"
PLAIN = ROOT / "tests" / "unit" / "house" / "plain_nouns.txt"
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*")
SUFFIXES = ("ies", "y"), ("sses", "ss"), ("shes", "sh"), ("s", "")


def singular(word: str) -> str:
    word = word.lower()
    for ending, instead in SUFFIXES:
        if word.endswith(ending) and not word.endswith(("ss", "us", "is")):
            return word.removesuffix(ending) + instead
    return word


def terms() -> set[str]:
    """The words of the first columns, those of a compound name one by one."""
    cells = re.findall(r"^\| (\*\*[^|]+) \|", GLOSSARY.read_text(encoding="utf-8"), re.MULTILINE)
    words = (re.sub(r"([a-z])([A-Z])", r"\1 \2", cell) for cell in cells)
    return {singular(word) for text in words for word in re.findall(r"[A-Za-z]+", text)}


def plain_nouns() -> set[str]:
    lines = PLAIN.read_text(encoding="utf-8").splitlines()
    return {singular(word) for line in lines if not line.startswith("#") for word in line.split()}


def nouns() -> dict[str, str]:
    """The last word of each public class name, with one class that has it."""
    return {
        singular(WORD.findall(node.name)[-1]): f"{path.stem}.{node.name}"
        for path in modules_in("booking", "actors", "http/booking_http")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    }


def test_every_class_is_named_by_a_term_or_a_plain_noun() -> None:
    known = terms() | plain_nouns()
    assert {noun: name for noun, name in nouns().items() if noun not in known} == {}


def test_every_plain_noun_is_needed() -> None:
    assert plain_nouns() - set(nouns()) == set()
    assert plain_nouns() & terms() == set()
