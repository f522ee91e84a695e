"""Pictures by the real browser. Where there is none that works, each test sees that this is said."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.blocks.library.screenshots import ScreenshotWebPageBlock
from app.errors import BlockError, BlockInputInvalid, BlockUnavailable
from app.outbound.addresses import AddressRefused
from app.outbound.http import OutboundHttp
from app.outbound.services import WebServices
from tests.browser import has_browser
from tests.stack import eventually
from tests.unit.blocks.contexts import MemoryFiles, make_context
from tests.unit.blocks.stub_server import Answer, StubServer, running_server

HTML = {"content-type": "text/html"}


async def shoot(
    server: StubServer,
    *,
    path: str = "/",
    files: MemoryFiles | None = None,
    program: str | None = None,
    **given: Any,
) -> bytes | None:
    """Return a picture, or None when there is no browser, having seen that this is an error."""
    block = ScreenshotWebPageBlock()
    files = files or MemoryFiles()
    http = OutboundHttp(allowed_private_hosts=[f"127.0.0.1:{server.port}"])
    context = replace(make_context(http=http, files=files), web=WebServices(chromium=program))
    inputs = block.Input(url=f"{server.url}{path}", **given)
    try:
        ((pin, reference),) = [emitted async for emitted in block.run(inputs, context)]
    except BlockError as error:
        if has_browser():
            raise
        assert "browser" in error.message  # noqa: PT017 - whether it is raised depends on the machine
        return None
    assert pin == "image"
    return files.files[reference].content


def size_of(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


async def test_a_picture_is_as_large_as_the_window(server: StubServer) -> None:
    server.answers["/"] = Answer(body=b"<body style='background: red; height: 3000px'>Hi", headers=HTML)
    files = MemoryFiles()
    picture = await shoot(server, files=files, viewport_width=400, viewport_height=300)
    if picture is not None:
        assert size_of(picture) == (400, 300)
        (file,) = files.files.values()
        assert (file.name, file.content_type) == ("screenshot.png", "image/png")


async def test_a_picture_of_the_full_page_goes_on_below_the_window(server: StubServer) -> None:
    body = b"<body style='margin: 0'><div style='background: red; height: 3000px'>Hi</div>"
    server.answers["/"] = Answer(body=body, headers=HTML)
    picture = await shoot(server, viewport_width=400, viewport_height=300, full_page=True)
    if picture is not None:
        assert size_of(picture) == (400, 3000)


@pytest.mark.parametrize(("format", "start"), [("jpeg", b"\xff\xd8\xff"), ("webp", b"RIFF")])
async def test_a_picture_has_the_format_that_is_asked_for(
    server: StubServer, format: str, start: bytes
) -> None:
    server.answers["/"] = Answer(body=b"Hi", headers=HTML)
    picture = await shoot(server, format=format)
    assert picture is None or picture.startswith(start)


async def test_what_scripts_fetch_and_write_is_in_it_and_dialogs_do_not_stop_it(server: StubServer) -> None:
    server.answers["/data"] = Answer(body=b"2000")
    server.answers["/"] = Answer(
        body=b"""<body style="margin: 0"><script>alert("stop");
        fetch("/data").then(r => r.text()).then(n => {
            document.body.innerHTML = "<div style='height: " + n + "px'>now</div>" })</script>""",
        headers=HTML,
    )
    picture = await shoot(server, viewport_width=200, viewport_height=100, full_page=True)
    if picture is not None:
        assert size_of(picture) == (200, 2000)


@contextlib.contextmanager
def udp_listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.setblocking(False)
        yield listening


async def test_a_page_reaches_nothing_that_blocks_may_not_reach(server: StubServer) -> None:
    async with running_server() as forbidden:
        with udp_listener() as udp:
            there = [f"{host}:{forbidden.port}" for host in ("127.0.0.1", "localhost", "[::1]", "2130706433")]
            tries = "".join(
                f'<img src="http://{to}/img"><iframe src="http://{to}/frame"></iframe>'
                f'<link rel="stylesheet" href="http://{to}/style"><link rel="preconnect" href="http://{to}">'
                f'<script src="http://{to}/script"></script>'
                f'<script>fetch("http://{to}/fetch", {{mode: "no-cors"}}).catch(() => 0);'
                f'navigator.sendBeacon("http://{to}/beacon", "x"); new WebSocket("ws://{to}/socket")</script>'
                for to in there
            )
            stun = f"stun:127.0.0.1:{udp.getsockname()[1]}"
            call = (
                f'<script>const call = new RTCPeerConnection({{iceServers: [{{urls: "{stun}"}}]}});'
                'call.createDataChannel("x"); call.createOffer().then(o => call.setLocalDescription(o))</script>'
            )
            page = f'<img src="/allowed"><img src="/away">{tries}{call}'
            server.answers["/"] = Answer(body=page.encode(), headers=HTML)
            server.answers["/away"] = Answer(302, headers={"location": f"{forbidden.url}/redirected"})

            picture = await shoot(server)

            assert not forbidden.asked
            with pytest.raises(BlockingIOError):
                udp.recv(1_000)
    if picture is not None:
        assert {"/allowed", "/away"} <= {asked.target for asked in server.asked}


async def test_a_page_that_redirects_to_a_private_address_is_not_shown(server: StubServer) -> None:
    async with running_server() as forbidden:
        server.answers["/"] = Answer(302, headers={"location": f"{forbidden.url}/"})
        if has_browser():
            with pytest.raises(BlockUnavailable, match="cannot be shown"):
                await shoot(server)
        else:
            await shoot(server)
        assert not forbidden.asked


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "http://localhost/", "http://[::1]/", "http://169.254.169.254/"]
)
async def test_a_private_address_is_refused_before_a_browser_is_started(url: str) -> None:
    block = ScreenshotWebPageBlock()
    refusals = AddressRefused if has_browser() else BlockError
    with pytest.raises(refusals):
        async for _ in block.run(block.Input(url=url), make_context()):
            pass


@pytest.mark.parametrize(
    "given",
    [
        {"url": "file:///etc/passwd"},
        {"url": "chrome://version"},
        {"url": "javascript:alert(1)"},
        {"url": "http://a:b/"},
        {"url": "http://example.com", "viewport_width": 0},
        {"url": "http://example.com", "viewport_height": 20_000},
    ],
)
async def test_what_cannot_be_shown_is_refused(given: dict[str, Any]) -> None:
    block = ScreenshotWebPageBlock()
    refusals = BlockInputInvalid if has_browser() else BlockError
    with pytest.raises(refusals):
        async for _ in block.run(block.Input(**given), make_context()):
            pass


async def test_a_page_that_breaks_off_may_be_tried_again(server: StubServer) -> None:
    server.answers["/"] = Answer(breaks_off=True)
    if has_browser():
        with pytest.raises(BlockUnavailable, match="cannot be shown"):
            await shoot(server)
    else:
        await shoot(server)


async def test_without_a_browser_the_error_says_what_to_do(server: StubServer) -> None:
    block = ScreenshotWebPageBlock()
    context = replace(make_context(), web=WebServices(chromium="/nowhere/chromium"))
    with pytest.raises(BlockError, match="PERDURE_CHROMIUM"):
        async for _ in block.run(block.Input(url=server.url), context):
            pass


async def test_a_program_that_is_no_browser_is_an_error(server: StubServer) -> None:
    block = ScreenshotWebPageBlock()
    http = OutboundHttp(allowed_private_hosts=["127.0.0.1"])
    context = replace(make_context(http=http), web=WebServices(chromium=shutil.which("false")))
    with pytest.raises(BlockError, match="ended by itself"):
        async for _ in block.run(block.Input(url=server.url), context):
            pass


def browsers() -> list[psutil.Process]:
    """Return what this process has started."""
    return psutil.Process().children(recursive=True)


def profiles_of(processes: list[psutil.Process]) -> set[Path]:
    flags = [word for process in processes if not is_gone(process) for word in process.cmdline()]
    return {Path(flag.partition("=")[2]) for flag in flags if flag.startswith("--user-data-dir=")}


def has_file(path: Path) -> bool:
    return path.exists()


def is_gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_a_cancelled_picture_leaves_no_process_and_no_file(server: StubServer) -> None:
    if not has_browser():
        await shoot(server)
        return
    before = {process.pid for process in browsers()}
    server.answers["/"] = Answer(hangs=True)
    shooting = asyncio.create_task(shoot(server))
    await asyncio.wait_for(server.reached.wait(), 100)
    started = [process for process in browsers() if process.pid not in before]
    (profile,) = profiles_of(started)

    shooting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await shooting

    await eventually(lambda: all(map(is_gone, started)))
    assert not has_file(profile)


def test_the_block_is_known_by_its_id_and_pins() -> None:
    signature = ScreenshotWebPageBlock().signature
    assert signature.id == "3a7c4b8d-6e2f-4a5d-b9c1-f8d23c5a9b0e"
    assert signature.required == {"url"}
    assert signature.outputs == {"image", "error"}
