"""Receivers with certificates: those of an authority that is trusted here, and others."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from booking.webhooks.contract import Posting
from booking.webhooks.posting import Poster
from tests.integration.webhooks.conftest import LOOPBACK
from tests.support.receivers import receiving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
POST = """
import asyncio, sys
from ipaddress import ip_network
from booking.webhooks.contract import Posting
from booking.webhooks.posting import Poster

async def post():
    poster = Poster((ip_network("127.0.0.0/8"),))
    for url in sys.argv[2:]:
        result = await poster.post(Posting("whk_1", "7-1", "{}", 1, url, sys.argv[1], ""))
        print(result.status, result.trouble)
    await poster.close()

asyncio.run(post())
"""


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """The certificate of an authority, beside one of a server that it vouches for."""
    if not shutil.which("openssl") and not os.environ.get("CI"):
        pytest.skip("there is no openssl")
    new = "req -x509 -days 2 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1"
    root, server = tmp_path / "root.pem", tmp_path / "server.pem"
    ours = "-addext keyUsage=critical,keyCertSign -subj /CN=authority"
    theirs = "-addext basicConstraints=critical,CA:FALSE -addext subjectAltName=DNS:localhost"
    for text in (
        f"{new} {ours} -keyout {root}.key -out {root}",
        f"{new} {theirs} -subj /CN=localhost -CA {root} -CAkey {root}.key"
        f" -keyout {server}.key -out {server}",
    ):
        subprocess.run(["openssl", *text.split()], check=True, capture_output=True)
    return root


def tls_of(authority: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server = authority.with_name("server.pem")
    context.load_cert_chain(server, f"{server}.key")
    return context


async def test_a_certificate_of_nobody_known_is_refused(authority: Path) -> None:
    """Given a receiver whose certificate is of an authority that this machine does not trust, then
    nothing is posted, and the operator is told why."""
    poster = Poster(LOOPBACK)
    try:
        async with receiving(tls=tls_of(authority)) as receiver:
            posting = Posting("whk_1", "7-1", "{}", 1, receiver.url, SECRET, "")
            result = await poster.post(posting)
    finally:
        await poster.close()
    assert result.status == 0
    assert "its certificate is refused: " in result.trouble
    assert "certificate" in result.trouble.split("refused: ")[1]
    assert not receiver.requests


async def test_a_certificate_of_a_trusted_authority_is_that_of_its_name_only(
    authority: Path,
) -> None:
    """Given an authority that ``SSL_CERT_FILE`` has the process trust, then what it vouches for is
    posted to, signed, and not under another name than the certificate's."""
    async with receiving(tls=tls_of(authority)) as receiver:
        other = receiver.url.replace("localhost", "127.0.0.1")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", POST, SECRET, receiver.url, other),
            env=os.environ | {"SSL_CERT_FILE": str(authority)},
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        receiver.verify(SECRET)
    first, second = out.decode().splitlines()
    assert first.strip() == "204"
    assert "its certificate is refused: IP address mismatch" in second
    assert len(receiver.requests) == 1
