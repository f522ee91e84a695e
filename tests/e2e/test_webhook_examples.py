"""What the page about webhooks gives to type, typed word for word: each scheme starts an execution."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path

from tests.e2e.rest import get, save
from tests.processes import ServerProcess
from tests.webhooks import ECHO

PAGE = Path(__file__).resolve().parents[2] / "docs/howto/webhooks.md"
SCHEMES = ("standard", "github", "stripe", "slack", "token")


async def type_in(code: str, settings: Mapping[str, str]) -> dict[str, str]:
    """Return what a shell answers."""
    process = await asyncio.create_subprocess_exec(
        "sh",
        "-euc",
        code,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    answer: dict[str, str] = json.loads(out)
    return answer


async def test_every_example_of_the_page_starts_an_execution(server: ServerProcess) -> None:
    make, *sends = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(sends) == len(SCHEMES)
    async with server.client() as owner:
        graph_id = await save(owner, ECHO)
        known = {"API": server.run_info.api_url, "TOKEN": owner.headers["Authorization"].split()[1]}
        for scheme, send in zip(SCHEMES, sends, strict=True):
            made = await type_in(make, {**known, "GRAPH": graph_id, "SCHEME": scheme})
            assert made["url"].startswith(server.run_info.api_url)
            sent = await type_in(send, {"URL": made["url"], "SECRET": made["secret"]})
            execution = await get(owner, sent["execution_id"])
            assert (execution["trigger"], execution["trigger_id"]) == ("webhook", made["id"]), scheme
