"""No secret is in the repository: a look at every file for what secrets look like."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.house import ROOT, name_of, own_files

FORMS = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    "a cloud access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a cloud API key": re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"),
    "a host's token": re.compile(r"\b(?:gh[pousr]_[0-9A-Za-z]{36}|glpat-[0-9A-Za-z_-]{20})\b"),
    "a chat token": re.compile(r"\bxox[abpors]-[0-9A-Za-z-]{10,}"),
    "a payment key": re.compile(r"\b[rs]k_live_[0-9A-Za-z]{16,}"),
    "a JWT": re.compile(r"\beyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]{10,}"),
}
"""What issuers gave a shape so that it would be found, wherever it is."""

ASSIGNED = re.compile(
    r"""(?ix) \b [\w-]* (?:secret|token|passw(?:or)?d|api_?key) [\w-]* ["']? \s* [:=] \s*
    ["']? (?P<value> [0-9A-Za-z+/_.-]{16,}) ["']? \s* (?:$|[,;)}\]\#])""",
    re.MULTILINE,
)
PASSWORD_IN_URL = re.compile(r"\b[a-z+]+://[^\s:/@]*:(?P<value>[^\s:/@{}$<>.]+)@[\w.]+")

ENTROPY_MIN = 3.5
"""Bits a character. Random hexadecimal digits have nearly 4; words of a language and names in a
program stay below with the rule that a digit has to be among them."""

MADE_UP = ("tests/", "bench/")
"""Where secrets are made up on purpose, to be used or to be found."""
EXAMPLES = {"change-me", "...", "hunter2", "PASSWORD", "password"}


def entropy(text: str) -> float:
    counts = Counter(text)
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())


def findings(name: str, text: str) -> Iterator[str]:
    for words, form in FORMS.items():
        if form.search(text):
            yield f"{name}: {words}"
    if name.startswith(MADE_UP):
        return
    for found in ASSIGNED.finditer(text):
        value = found["value"]
        if any(map(str.isdigit, value)) and entropy(value) > ENTROPY_MIN:
            yield f"{name}: {found.group().strip()[:40]}"
    for found in PASSWORD_IN_URL.finditer(text):
        if found["value"] not in EXAMPLES:
            yield f"{name}: a password in {found.group()[:40]}"


def test_no_file_holds_a_secret() -> None:
    found: list[str] = []
    for path in own_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        found += findings(name_of(path), text)
    assert found == []


HEX = "f3b1c05a9d2e4788" + "6a10cb5d9e7f2034"
PLANTED = [
    f"BOOKING_TOKEN_SECRET={HEX}\n",
    f'admin_token = "{HEX}"\n',
    f'{{"password": "{HEX}"}}',
    f"  api-key: {HEX}\n".replace("api-key", "apikey"),
    "postgresql://booking:tr0ub4dor@db.internal/booking",
    "-----BEGIN RSA " + "PRIVATE KEY-----",
    "AKIA" + "IOSFODNN7EXAMPLE",
    "gh" + "p_" + "a1B2" * 9,
    "eyJ" + "hbGciOiJIUzI1NiJ9" + ".eyJ" + "zdWIiOiIxMjM0NTY3ODkwIn0" + ".dozjgNryP4J3jVmNHl0w5N",
]


@pytest.mark.parametrize("text", PLANTED, ids=range(len(PLANTED)))
def test_a_planted_one_is_found(text: str) -> None:
    assert list(findings("deploy/x.env", text)) != []


@pytest.mark.parametrize(
    "text",
    [
        "token = PASTE-THE-TOKEN-HERE\nsecret = settings.token_secrets[0]\n",
        "BOOKING_TOKEN_SECRET: ${BOOKING_TOKEN_SECRET:?openssl rand -hex 32}\n",
        "postgresql://booking:...@db.internal:5432/booking",
        "TOKEN=$(curl -s http://127.0.0.1:8080/queue/issue)\n",
    ],
)
def test_what_is_none_is_left_alone(text: str) -> None:
    assert list(findings("docs/x.md", text)) == []


def test_nothing_is_ignored_by_git_that_is_looked_at_by_nobody() -> None:
    """An .env file is left out of the repository, so that a person's own stays their own."""
    assert ".env" in (ROOT / ".gitignore").read_text().split()
