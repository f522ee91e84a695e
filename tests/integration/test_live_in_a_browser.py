"""The page that `docs/howto/watch.md` shows, in a real browser and of another origin than the API."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from temporalio.client import Client

from app.outbound.browser import find_browser
from tests.browser import has_browser
from tests.e2e.rest import save, start, sums
from tests.engine import Engine
from tests.live import bearer, run_live
from tests.stack import eventually
from tests.unit.blocks.stub_server import Answer, StubServer, running_server

GUIDE = Path(__file__).resolve().parents[2] / "docs/howto/watch.md"
TOLD = """
<script>
  const say = (text) => fetch("/told", {method: "POST", body: text});
  new MutationObserver((changes) => {
    for (const change of changes) for (const line of change.addedNodes) say(line.textContent);
  }).observe(document.querySelector("#events"), {childList: true});
  const socket = new WebSocket("SOCKET", ["perdure", "bearer.TOKEN"]);
  socket.onopen = () => socket.send('{"method": "heartbeat"}');
  socket.onmessage = (event) => say(event.data);
</script>
"""


def page_for(api_url: str, token: str) -> bytes:
    """Return the page of the guide, which reports what it shows."""
    found = re.search(r"```html\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert found is not None
    page: str = found[1]
    assert "https://perdure.example.org/api" in page
    assert "await myToken()" in page
    page = page.replace("https://perdure.example.org/api", f"{api_url}/api")
    socket = f"ws{api_url.removeprefix('http')}/ws"
    told = TOLD.replace("SOCKET", socket).replace("TOKEN", token)
    return (page.replace("await myToken()", f"'{token}'") + told).encode()


@asynccontextmanager
async def browsing(url: str, folder: Path) -> AsyncIterator[None]:
    """Have a page open."""
    program = find_browser(None)
    assert program is not None
    flags = ["--headless", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0"]
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    process = await asyncio.create_subprocess_exec(
        program,
        *flags,
        *as_root,
        f"--user-data-dir={folder}",
        url,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        # With all that it has started.
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def told(site: StubServer, *words: str) -> bool:
    texts = [asked.body.decode() for asked in site.asked if asked.target == "/told"]
    return any(all(word in text for word in words) for text in texts)


@pytest.mark.skipif(not has_browser(), reason="there is no browser")
async def test_a_page_of_another_origin_follows_executions_with_a_ticket(
    engine: Engine, client: Client, short_folder: Path
) -> None:
    async with (
        running_server() as site,
        run_live(engine.database_url, client, task_queue=engine.task_queue, cors_origins=(site.url,)) as live,
    ):
        token = bearer()
        site.answers["/told"] = Answer()
        site.answers["/"] = Answer(body=page_for(live.url, token), headers={"content-type": "text/html"})
        async with live.caller(token) as alice, browsing(f"{site.url}/", short_folder / "profile"):
            await eventually(lambda: told(site, "snapshot"))
            execution = await start(alice, await save(alice, sums(1)))
            await eventually(lambda: told(site, "execution_queued", execution["id"]))
            await eventually(lambda: told(site, "pong"))
