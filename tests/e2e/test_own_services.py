"""What a real worker is made of cannot be reached by a block, also where blocks may reach this machine."""

from __future__ import annotations

from tests.processes import ServerProcess


async def test_a_block_reaches_neither_temporal_nor_its_web_ui(server: ServerProcess) -> None:
    info = server.run_info
    urls = [f"http://{info.temporal_address}/", f"{info.temporal_ui_url}/api/v1/namespaces"]
    async with server.client() as client:
        answers = [
            await client.post(
                "/api/blocks/send_web_request_block/execute", json={"inputs": {"url": url, "method": "GET"}}
            )
            for url in [*urls, info.api_url]
        ]

    assert ["part of this system" in answer.text for answer in answers] == [True, True, False]
