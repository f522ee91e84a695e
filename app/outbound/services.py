"""Which services of the web and which browser blocks use when the operator has chosen them."""

from __future__ import annotations

from dataclasses import dataclass, field

WIKIPEDIA_URL = "https://en.wikipedia.org"


@dataclass(frozen=True, slots=True)
class WebServices:
    """What stands in the settings, not in a graph."""

    search_url: str | None = None
    """A search engine: SearXNG, or one that answers as Brave does. None for no search."""
    search_api_key: str | None = field(default=None, repr=False)
    """The key for it. With one it is spoken to as Brave, without as SearXNG."""
    wikipedia_url: str = WIKIPEDIA_URL
    """Where the encyclopedia is."""
    chromium: str | None = None
    """The program that shows web pages; None for the one that is found on the `PATH`."""
