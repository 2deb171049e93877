"""The documents: links lead somewhere, and every page can be found from the index."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.house import ROOT, name_of, own_files

LINK = re.compile(r"(?<!\!)\[[^\]\n]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def pages() -> list[Path]:
    return [path for path in own_files() if path.suffix == ".md"]


def prose(page: Path) -> str:
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> Iterator[str]:
    return (link for link in LINK.findall(prose(page)) if not link.startswith(("http", "mailto:")))


def anchors(page: Path) -> set[str]:
    """The names that headings get on the usual hosts: lower case, words joined by hyphens."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in HEADING.findall(prose(page))
    }


def test_every_link_leads_to_something_in_the_project() -> None:
    broken = []
    for page in pages():
        for link in links(page):
            target, _, anchor = link.partition("#")
            found = (page.parent / target).resolve() if target else page
            if not found.exists():
                broken.append(f"{name_of(page)} -> {link}")
            elif anchor and found.suffix == ".md" and anchor not in anchors(found):
                broken.append(f"{name_of(page)} -> {link} (no such heading)")
    assert broken == []


def test_every_page_of_the_documents_is_reached_from_their_index() -> None:
    index = ROOT / "docs" / "README.md"
    reached: set[Path] = set()
    open_pages = [index]
    while open_pages:
        page = open_pages.pop()
        if page in reached:
            continue
        reached.add(page)
        targets = ((page.parent / link.partition("#")[0]).resolve() for link in links(page))
        open_pages += [target for target in targets if target.suffix == ".md" and target.exists()]
    lost = [name_of(p) for p in pages() if (ROOT / "docs") in p.parents and p not in reached]
    assert lost == []


OWN_PATH = re.compile(r"`((?:actors|booking|bench|clients|deploy|http|scripts|tests)/[\w./-]+)`")


def test_files_named_in_the_documents_exist() -> None:
    """By their whole path, in backquotes: a renamed one would leave the reader lost."""
    missing = [
        f"{name_of(page)}: {named}"
        for page in pages()
        if page.name != "CHANGELOG.md"
        for named in OWN_PATH.findall(prose(page))
        if not (ROOT / named).exists()
    ]
    assert missing == []


def test_files_named_in_the_tour_exist() -> None:
    """The README's tour names files in backquotes; a renamed one would leave the reader lost."""
    tour = prose(ROOT / "README.md").partition("## The source, in reading order")[2]
    named = re.findall(r"`([\w./-]+/[\w.-]*|[\w./-]+\.\w+)`", tour.partition("\n## ")[0])
    assert named, "the tour names no files"
    assert [name for name in named if not (ROOT / name).exists()] == []
