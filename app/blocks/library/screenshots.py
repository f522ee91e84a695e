"""The block that takes pictures of web pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import MappingProxyType
from typing import TYPE_CHECKING

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, RemoteBlock
from app.blocks.credentials import CredentialsRef
from app.blocks.library.web import complete_url
from app.graph.credentials import CredentialsNeed
from app.graph.signature import Effect
from app.outbound.browser import TIMEOUT_SECONDS, Picture, PictureFormat, take_picture

if TYPE_CHECKING:
    from app.blocks.context import BlockContext

AT_ONCE = 2
"""Browsers of one worker; each takes some hundred megabytes of memory."""
_MAX_WAITING_SECONDS = 600.0


class ScreenshotWebPageBlock(RemoteBlock):
    """Take a picture of a web page, by a browser on this server.

    It needs no account: credentials are taken and not used. The page is shown as it is, so the inputs that start with
    `block_` change nothing, nor does `cache`. The browser reaches public addresses only.
    """

    id = "3a7c4b8d-6e2f-4a5d-b9c1-f8d23c5a9b0e"
    categories = (BlockCategory.DATA,)
    effect = Effect.PURE
    timeout_seconds = TIMEOUT_SECONDS + _MAX_WAITING_SECONDS
    credentials = MappingProxyType(
        {"credentials": CredentialsNeed(providers=("screenshotone",), is_required=False)}
    )

    class Input(BlockInput):
        """The page, and how to show it."""

        credentials: CredentialsRef | None = None
        """Not needed."""
        url: str
        """Of the page. http is taken when there is no scheme."""
        viewport_width: int = 1920
        """Of the window, in pixels."""
        viewport_height: int = 1080
        """Of the window, in pixels."""
        full_page: bool = False
        """Whether to show what is below the window too, down to 16,383 pixels."""
        format: PictureFormat = "png"
        """Of the picture."""
        block_ads: bool = True
        """Not used."""
        block_cookie_banners: bool = True
        """Not used."""
        block_chats: bool = True
        """Not used."""
        cache: bool = False
        """Not used: the picture is always new."""

    class Output(BlockOutput):
        """The picture."""

        image: str
        """A file."""

    def __init__(self) -> None:
        """Make room for a few browsers."""
        self._room = asyncio.Semaphore(AT_ONCE)

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Take the picture.

        Raises:
            AddressRefused: The page is at an address that blocks may not reach.
            BlockUnavailable: The page cannot be fetched now.
            BlockError: There is no browser, or the picture cannot be.
        """
        picture = Picture(
            complete_url(given.url),
            given.viewport_width,
            given.viewport_height,
            is_full_page=given.full_page,
            format=given.format,
        )
        async with self._room:
            content = await take_picture(picture, context.http, program=context.web.chromium)
        name = f"screenshot.{'jpg' if given.format == 'jpeg' else given.format}"
        yield "image", await context.files.store(content, name=name, content_type=f"image/{given.format}")
