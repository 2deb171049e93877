"""A real Prometheus for tests, where the machine has one."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.support.house import ROOT
from tests.support.served import free_port

RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
READY_MAX_S = 30.0


def tool(name: str) -> str:
    """Its path. Without one the test is skipped, but in continuous integration it fails there."""
    path = shutil.which(name)
    if path is None:
        words = f"{name} is not installed (Debian and Ubuntu: apt install prometheus)"
        if os.environ.get("CI"):
            pytest.fail(words)
        pytest.skip(words)
    return path


def promtool(*arguments: str) -> str:
    """What it says; fails if it finds fault."""
    done = subprocess.run(
        [tool("promtool"), *arguments], cwd=RULES.parent, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Prometheus:
    """One that scrapes, and is asked over HTTP."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def get(self, path: str, **query: str) -> Any:
        """The ``data`` of an answer; fails if it is an error."""
        async with self._session.get(f"{self.url}{path}", params=query) as answer:
            body = await answer.json()
            assert body["status"] == "success", body
            return body["data"]

    async def query(self, expression: str) -> list[Mapping[str, Any]]:
        result = (await self.get("/api/v1/query", query=expression))["result"]
        assert isinstance(result, list)
        return result

    async def value(self, expression: str) -> float:
        """The only value."""
        (sample,) = await self.query(expression)
        return float(sample["value"][1])


@asynccontextmanager
async def prometheus(directory: Path, target: str) -> AsyncIterator[Prometheus]:
    """With the project's rules, scraping ``target`` (host:port) each half second."""
    binary, port = tool("prometheus"), free_port()
    job = {"job_name": "booking", "static_configs": [{"targets": [target]}]}
    settings = {
        "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
        "rule_files": [str(RULES)],
        "scrape_configs": [job],
    }
    (directory / "prometheus.yml").write_text(yaml.safe_dump(settings))
    process = _launched(binary, port, directory)
    try:
        async with aiohttp.ClientSession() as session:
            running = Prometheus(f"http://127.0.0.1:{port}", session)
            await _ready(running, session, process)
            yield running
    except BaseException:
        print((directory / "prometheus.log").read_text()[-5_000:])  # shown with the failure
        raise
    finally:
        process.kill()
        process.wait()


async def _ready(
    running: Prometheus, session: aiohttp.ClientSession, process: subprocess.Popen[bytes]
) -> None:
    end = asyncio.get_running_loop().time() + READY_MAX_S
    while asyncio.get_running_loop().time() < end:
        assert process.poll() is None, "Prometheus ended"
        try:
            async with session.get(f"{running.url}/-/ready") as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientConnectionError:
            pass  # not listening yet
        await asyncio.sleep(0.05)
    raise AssertionError("Prometheus was not ready in time")


def _launched(binary: str, port: int, directory: Path) -> subprocess.Popen[bytes]:
    command = [
        binary,
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (directory / "prometheus.log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
