"""The crowd of docs/tutorial/kill-an-instance.md, while the service is killed under it."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import msgspec

from booking import audit
from booking.audit.report import render
from booking.catalogue import document, store
from tests.support.api_client import eventually
from tests.support.catalogues import catalogue, concert, date
from tests.support.house import ROOT
from tests.support.served import served

PAGE = (ROOT / "docs" / "tutorial" / "kill-an-instance.md").read_text(encoding="utf-8")
CATALOGUE = catalogue(concert("alpha", *(date(f"alpha-{n}") for n in range(1, 6))))
WANTED = 120
CROWD_MAX_S = 90


def crowd(url: str) -> str:
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    changed, replaced = re.subn(r"http://127\.0\.0\.1:8080", url, str(program))
    assert replaced == 1
    return changed


async def test_the_crowd_notices_nothing_but_a_pause(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    await store.save(database_url, document.parse(msgspec.json.encode(CATALOGUE)))
    with served(database_url, redis_url, tmp_path) as instance:
        await instance.start()
        lines: list[str] = []
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            crowd(instance.url),
            str(WANTED),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None

        async def listen() -> None:
            assert process.stdout is not None
            while line := await process.stdout.readline():
                lines.append(line.decode().strip())

        async def seen(count: int) -> None:
            async def enough() -> bool:
                return len(lines) >= count or process.returncode is not None

            await eventually(enough, within_s=CROWD_MAX_S)

        listening = asyncio.get_running_loop().create_task(listen())
        try:
            for moment in (10, 50):
                await seen(moment)
                instance.kill()
                await instance.start()
            complaints = await asyncio.wait_for(process.stderr.read(), CROWD_MAX_S)
            await process.wait()
            await listening
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, complaints.decode()
        assert await instance.end() == 0
    assert [line.partition(":")[0] for line in lines] == [str(n + 1) for n in range(WANTED)]
    report = await audit.run(database_url)
    assert report.ok, render(report)
