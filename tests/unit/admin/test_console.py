"""What the console is made of, and how it is served. How it behaves: tests/browser."""

from __future__ import annotations

import re

from tests.support.admin_edge import AdminEdge
from tests.support.house import ROOT

FOLDER = ROOT / "http" / "booking_http" / "console"
FILES = sorted(path.name for path in FOLDER.iterdir())


async def test_every_file_is_served_under_a_strict_policy(admin: AdminEdge) -> None:
    for name in FILES:
        path = "/admin/console" if name == "console.html" else f"/admin/console/{name}"
        answer = await admin("GET", path, token=None)
        assert answer.status == 200, name
        assert answer.body == (FOLDER / name).read_bytes()
        assert "javascript" in answer.headers["Content-Type"] or not name.endswith(".js")
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        etag = {"If-None-Match": answer.headers["ETag"]}
        assert (await admin("GET", path, token=None, headers=etag)).status == 304


async def test_nothing_else_is(admin: AdminEdge) -> None:
    for name in ("console.html", "nothing.js", "..%2fpages.py", "%2e%2e", "console.js%00"):
        answer = await admin("GET", f"/admin/console/{name}", token=None)
        assert (answer.status, answer.code) == (404, "not_found")


def test_every_module_that_is_imported_is_there() -> None:
    for name in FILES:
        text = (FOLDER / name).read_text(encoding="utf-8")
        for imported in re.findall(r'from "\./([\w.]+)"', text):
            assert imported in FILES, f"{name} imports {imported}"


def test_the_pages_hold_nothing_that_their_policy_forbids() -> None:
    """No script or style in the page, no HTML made of text, nothing from elsewhere, no storage."""
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
        r"|localStorage|sessionStorage|document\.cookie|https?://(?!www\.w3\.org/2000/svg)"
        r"|\sstyle=|\son[a-z]+=|<script>|<style"
    )
    for name in FILES:
        found = forbidden.search((FOLDER / name).read_text(encoding="utf-8"))
        assert found is None, f"{name}: {found.group()}"
