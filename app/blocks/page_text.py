"""What a person would read of a web page."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.outbound.response import Response

_HTML = ("text/html", "application/xhtml+xml", "")
_TEXTS = ("application/json", "application/xml", "application/javascript", "application/yaml")
MAX_TREE_SIZE = 50_000
"""Elements of a page in which a main text is looked for; of larger ones all text is given. It takes up to 10 s."""


def is_text(response: Response) -> bool:
    """Return whether an answer is text of some kind."""
    kind = response.content_type
    return kind.startswith("text/") or kind in _HTML or kind in _TEXTS or kind.endswith(("+json", "+xml"))


def find_readable(response: Response) -> str:
    """Return the main text of a page as Markdown, all its text when it has no main one, or what is no page as it is.

    Takes up to ten seconds.
    """
    if response.content_type not in _HTML:
        return response.text.strip()
    # Loading it takes 300 ms, and most workers never read a page.
    from trafilatura import extract  # noqa: PLC0415
    from trafilatura.settings import use_config  # noqa: PLC0415

    # It logs the addresses of pages that it cannot read, and those are nobody else's business.
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL + 1)
    config = use_config()
    config["DEFAULT"]["MAX_TREE_SIZE"] = str(MAX_TREE_SIZE)
    found = extract(
        response.text,
        url=response.url,
        output_format="markdown",
        include_comments=False,
        include_links=True,
        include_tables=True,
        config=config,
    )
    return (found or _all_text(response.text)).strip()


def _all_text(page: str) -> str:
    from lxml import etree, html  # noqa: PLC0415 - loaded with the above

    try:
        # Bytes, because a text may not say in which encoding it is.
        tree = html.document_fromstring(page.encode(), parser=html.HTMLParser(encoding="utf-8"))
    except (etree.ParserError, ValueError):
        return ""
    etree.strip_elements(tree, "script", "style", "noscript", "template", "head", with_tail=False)
    return " ".join(tree.text_content().split())
