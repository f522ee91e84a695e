"""Pictures of web pages, taken by a Chromium that lives for one picture and reaches nothing but through our proxy.

It is a process of its own with a profile of its own; both are gone when the picture is taken, fails or is cancelled.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from app.errors import BlockError, BlockInputInvalid, BlockUnavailable
from app.outbound import browser_protocol
from app.outbound.forward_proxy import ForwardProxy
from app.outbound.http import OutboundHttp

PictureFormat: TypeAlias = Literal["png", "jpeg", "webp"]

MAX_SIDE_PIXELS = 16_383
"""What a picture has at most in either direction: WebP has no more."""
MAX_TRAFFIC_BYTES = 100 * 1024 * 1024
TIMEOUT_SECONDS = 150.0
LOAD_SECONDS = 45.0
"""A page that takes longer is shown as far as it is."""
QUIET_SECONDS = 10.0
"""How long is waited, after the page is there, for what its scripts fetch."""
CLOSING_SECONDS = 5.0

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_NOBODY = "65534"
_FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-breakpad",
    "--disable-sync",
    "--disable-quic",
    "--disable-print-preview",
    "--mute-audio",
    "--hide-scrollbars",
    "--password-store=basic",
    "--use-mock-keychain",
    # Nothing leads past the proxy: no exceptions for this machine, no names looked up here, no packets of WebRTC.
    "--proxy-bypass-list=<-loopback>",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--dns-prefetch-disable",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--disable-features=DnsOverHttps,AsyncDns,MediaRouter,OptimizationHints,Translate,WebRtcHideLocalIpsWithMdns",
)


@dataclass(frozen=True, slots=True)
class Picture:
    """What a picture is to show."""

    url: str
    width: int
    height: int
    is_full_page: bool = False
    """Whether to show all of the page, however long."""
    format: PictureFormat = "png"


def find_browser(program: str | None) -> str | None:
    """Return the path of the browser, the given one or one on the `PATH`; None when there is none."""
    candidates = (program,) if program else _PROGRAMS
    return next((found for name in candidates if (found := shutil.which(name))), None)


async def take_picture(picture: Picture, http: OutboundHttp, *, program: str | None = None) -> bytes:
    """Return a picture of a web page.

    Args:
        picture: What it is to show.
        http: Reaches the world for the browser.
        program: The browser; one on the `PATH` unless given.

    Raises:
        AddressRefused: The page is at an address that blocks may not reach.
        BlockInputInvalid: The URL or a size cannot be.
        BlockUnavailable: The page cannot be fetched now, or the browser takes too long.
        BlockError: There is no browser here, or it does not work.
    """
    browser = find_browser(program)
    if browser is None:
        raise BlockError("There is no browser on this server: install Chromium, or have PERDURE_CHROMIUM set")
    for side in (picture.width, picture.height):
        if not 0 < side <= MAX_SIDE_PIXELS:
            raise BlockInputInvalid(f"A picture is between 1 and {MAX_SIDE_PIXELS:,} pixels wide and high")
    await _require_reachable(picture.url, http)
    try:
        async with (
            asyncio.timeout(TIMEOUT_SECONDS),
            ForwardProxy(http, limit_bytes=MAX_TRAFFIC_BYTES) as proxy,
            _running(browser, proxy.port) as channel,
        ):
            return await _take(picture, channel)
    except TimeoutError:
        raise BlockUnavailable(f"The browser took longer than {TIMEOUT_SECONDS:g} s") from None


async def _require_reachable(url: str, http: OutboundHttp) -> None:
    try:
        target = urlsplit(url)
        host, port = target.hostname, target.port or {"http": 80, "https": 443}.get(target.scheme)
    except ValueError:
        raise BlockInputInvalid("The URL is not valid") from None
    if not host or port is None or target.scheme not in ("http", "https"):
        raise BlockInputInvalid("The URL has to begin with http:// or https:// and a host name")
    stream = await http.connect(host, port)
    await stream.aclose()


@asynccontextmanager
async def _running(browser: str, proxy_port: int) -> AsyncIterator[browser_protocol.Channel]:
    """Run a browser and give the channel to it; end it and everything that it started."""
    # As root it gives itself no sandbox, so it is somebody who may do nothing.
    user = _NOBODY if os.geteuid() == 0 else ""
    profile = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="perdure-browser-"))
    ours, theirs = socket.socketpair()
    try:
        if user:
            os.chown(profile, int(user), int(user))
        process = await _start(browser, user, profile, channel=theirs, proxy_port=proxy_port)
        theirs.close()
        try:
            async with browser_protocol.open_channel(ours) as channel:
                yield channel
                # Asked to, it also ends what it has started; killed, it leaves that to whoever is process 1.
                with contextlib.suppress(BlockError, TimeoutError):
                    async with asyncio.timeout(CLOSING_SECONDS):
                        await channel.ask("Browser.close")
                        await process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    finally:
        ours.close()
        theirs.close()
        await asyncio.to_thread(shutil.rmtree, profile, ignore_errors=True)


async def _start(
    browser: str, user: str, profile: Path, *, channel: socket.socket, proxy_port: int
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        str(Path(__file__).with_name("browser_launcher.py")),
        str(channel.fileno()),
        user,
        browser,
        *_FLAGS,
        *(["--no-sandbox"] if user else []),
        f"--proxy-server=http://127.0.0.1:{proxy_port}",
        f"--user-data-dir={profile}",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        pass_fds=(channel.fileno(),),
        env=_environment_of(profile),
        cwd=profile,
        start_new_session=True,
    )


def _environment_of(profile: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "FONTCONFIG_PATH") if name in os.environ}
    return kept | {"HOME": str(profile), "TMPDIR": str(profile), "LANG": "C.UTF-8"}


async def _take(picture: Picture, channel: browser_protocol.Channel) -> bytes:
    page = await channel.open_page()
    size: dict[str, Any] = {"width": picture.width, "height": picture.height}
    screen = {**size, "deviceScaleFactor": 1, "mobile": False}
    await channel.ask("Emulation.setDeviceMetricsOverride", screen, page=page)
    await channel.ask("Browser.setDownloadBehavior", {"behavior": "deny"})
    await channel.ask("Page.enable", page=page)
    await channel.ask("Page.setLifecycleEventsEnabled", {"enabled": True}, page=page)
    went = await channel.ask("Page.navigate", {"url": picture.url}, page=page)
    if went.get("errorText"):
        raise BlockUnavailable(f"The page cannot be shown: {str(went['errorText'])[:100]}")
    loader = str(went.get("loaderId", ""))
    await channel.wait_for_page(loader, "load", timeout_seconds=LOAD_SECONDS)
    await channel.wait_for_page(loader, "networkIdle", timeout_seconds=QUIET_SECONDS)
    if picture.is_full_page:
        layout = await channel.ask("Page.getLayoutMetrics", page=page)
        content = layout["cssContentSize"]
        size["height"] = int(min(max(content["height"], picture.height), MAX_SIDE_PIXELS))
    taken = await channel.ask(
        "Page.captureScreenshot",
        {
            "format": picture.format,
            "captureBeyondViewport": picture.is_full_page,
            "clip": {"x": 0, "y": 0, "scale": 1, **size},
        },
        page=page,
    )
    return base64.b64decode(taken["data"])
