"""The fan's page as files: nothing from elsewhere, whole in both languages, readable in both
colour schemes. What it does is tested in tests/browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files

import pytest

from booking_http.codes import CODES, OPERATORS
from tests.support.edge import Edge
from tests.support.house import ROOT

STATIC = files("booking_http") / "static"
NAMES = sorted(entry.name for entry in STATIC.iterdir())
SCRIPTS = [name for name in NAMES if name.endswith(".js")]

RATIO_TEXT = 4.5
RATIO_SHAPES = 3.0
"""WCAG 2.2, levels AA: 1.4.3 for text, 1.4.11 for what else has to be told apart."""
TEXT_PAIRS = (
    ("ink", "ground"),
    ("ink", "surface"),
    ("soft", "ground"),
    ("soft", "surface"),
    ("accent", "ground"),
    ("accent", "surface"),
    ("accent", "tint"),
    ("on-accent", "accent"),
    ("good", "good-tint"),
    ("good", "ground"),
    ("bad", "bad-tint"),
    ("bad", "surface"),
    ("ink", "free-tint"),
    ("held-ink", "held-tint"),
    ("on-mine", "mine"),
)
SHAPE_PAIRS = (("free", "free-tint"), ("free", "ground"), ("accent", "ground"), ("mine", "ground"))


def text_of(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


async def test_the_page_loads_nothing_from_elsewhere(front: Edge) -> None:
    page = await front("GET", "/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    names = re.findall(r'(?:src|href)="([^"]+)"', page.body.decode())
    assert "/static/app.js" in names
    for name in names:
        if not name.startswith("#"):
            assert (await front("GET", name)).status == 200, name
    assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=", page.body.decode())


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("docs.")])
def test_no_file_names_another_host(name: str) -> None:
    hosts = set(re.findall(r"https?://[\w.]+", text_of(name)))
    assert hosts <= {"http://www.w3.org"}  # the name of SVG's elements, which nobody fetches


@pytest.mark.parametrize("name", SCRIPTS)
async def test_every_module_that_is_imported_is_served(front: Edge, name: str) -> None:
    for imported in re.findall(r'^import .*? from "\./([\w.-]+)";$', text_of(name), re.MULTILINE):
        answer = await front("GET", f"/static/{imported}")
        assert answer.status == 200, imported
        assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"


async def test_a_file_that_is_known_is_not_sent_again(front: Edge) -> None:
    etag = (await front("GET", "/static/app.js")).headers["ETag"]
    answer = await front("GET", "/static/app.js", headers={"If-None-Match": etag})
    assert (answer.status, answer.body) == (304, b"")


@pytest.mark.parametrize("name", ["none.js", "..%2Fpages.py", "%2e%2e", "app.js%00"])
async def test_nothing_but_the_files_of_the_folder_is_served(front: Edge, name: str) -> None:
    assert (await front("GET", f"/static/{name}")).status == 404


# -- words -----------------------------------------------------------------------------------------


def keys_of(language: str) -> list[str]:
    return re.findall(r"^  (\w+): ", text_of(f"strings-{language}.js"), re.MULTILINE)


def test_both_languages_have_the_same_words_once() -> None:
    english, korean = keys_of("en"), keys_of("ko")
    assert english == korean
    assert len(english) == len(set(english)) > 100


def keys_used() -> Iterator[str]:
    for name in SCRIPTS:
        if not name.startswith("strings-"):
            yield from re.findall(r'\bt\("(\w+)"', text_of(name))
            yield from re.findall(r'app\.ended\("(\w+)"', text_of(name))


def test_every_word_that_is_used_is_there_and_the_other_way_round() -> None:
    there, used = set(keys_of("en")), set(keys_used())
    assert used - there == set()
    made_up = re.compile(
        r"(step|welcome|state_|flag_|problem_)\w*|live|polled|left|leave\w*|turnOver|tokenGone"
    )
    within = "".join(text_of(f"strings-{language}.js") for language in ("en", "ko"))
    unused = {key for key in there - used if f't("{key}"' not in within}
    assert {key for key in unused if not made_up.fullmatch(key)} == set()


# -- close codes -----------------------------------------------------------------------------------


def test_the_table_of_close_codes_is_the_documented_one() -> None:
    source = text_of("client.js").partition("export const CLOSE_CODES")[2].partition("});")[0]
    table = {
        int(code): word for code, word in re.findall(r'^  (\d+): "(\w+)"', source, re.MULTILINE)
    }
    page = (ROOT / "docs" / "reference" / "browser-client.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (1[\d, ]+) \| [^|]+ \| ([^|]+) \|", page, re.MULTILINE)
    documented = {int(code): words for codes, words in rows for code in codes.split(",")}
    assert table.keys() == documented.keys()
    says = {"ask": "does not reconnect", "jitter": "reconnectJitterMs"}
    assert [code for code, word in table.items() if says[word] not in documented[code]] == []


def test_the_table_of_close_codes_is_the_sockets_own() -> None:
    source = text_of("client.js").partition("export const CLOSE_CODES")[2].partition("});")[0]
    page = (ROOT / "docs" / "reference" / "websocket.md").read_text(encoding="utf-8")
    again = dict(re.findall(r"^\| (1\d{3}) \| .* \| (no|after the jitter) \|$", page, re.MULTILINE))
    assert len(again) > 5
    for code, advice in again.items():
        word = "ask" if advice == "no" else "jitter"
        assert f'  {code}: "{word}"' in source


# -- colours ---------------------------------------------------------------------------------------


def colours(scheme: str) -> dict[str, str]:
    light, _, rest = text_of("app.css").partition("@media (prefers-color-scheme: dark)")
    block = light if scheme == "light" else rest.partition("\n* {")[0]
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def ratio(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_are_told_apart_as_wcag_asks(scheme: str) -> None:
    found = colours(scheme)
    weak = [
        (one, other, round(ratio(found[one], found[other]), 2))
        for pairs, least in ((TEXT_PAIRS, RATIO_TEXT), (SHAPE_PAIRS, RATIO_SHAPES))
        for one, other in pairs
        if ratio(found[one], found[other]) < least
    ]
    assert weak == []


def test_the_client_repeats_what_passes() -> None:
    """``too_many_sockets`` answers a handshake, whose status no browser tells to a page."""
    script = text_of("client.js")
    statuses = re.search(r"const passing = \[([\d, ]+)\]", script)
    lasting = re.search(r"if \(\[(.+)\]\.includes\(error\.code\)\) return null", script)
    also = re.search(r'!passing && error\.code !== "(\w+)"', script)
    assert statuses
    assert lasting
    assert also
    passing = {int(each) for each in statuses[1].split(",")}
    codes = {str(code): row for code, row in CODES.items() if code not in OPERATORS}
    repeated = {code for code, row in codes.items() if row.status in passing} | {also[1]}
    repeated -= set(re.findall(r"\w+", lasting[1])) | {"too_many_sockets"}
    assert repeated == {code for code, row in codes.items() if row.passes}


@pytest.mark.parametrize("name", ["strings-en.js", "strings-ko.js"])
def test_words_for_problems_are_for_codes_that_there_are(name: str) -> None:
    told = set(re.findall(r"^  problem_(\w+):", text_of(name), re.MULTILINE))
    assert told - {"unreachable", "other"} - {str(code) for code in CODES} == set()
