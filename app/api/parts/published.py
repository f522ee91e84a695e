"""What published graphs are served from: put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.api.edge.rate_limits import RateLimits
from app.api.live.following import Following
from app.api.published.call_documents import CallDocuments
from app.api.published.calls import Calls
from app.api.services.publications import Publications
from app.api.services.records import ExecutionRecords
from app.api.services.starting import Starting
from app.api.services.views import Views
from app.api.services.waiting import Waiting


@dataclass(frozen=True, kw_only=True)
class Published:
    """Graphs that are called by names."""

    publications: Publications
    calls: Calls
    documents: CallDocuments
    origins: Sequence[str]
    """Origins whose pages may call tools."""


def make_published(
    publications: Publications,
    starting: Starting,
    waiting: Waiting,
    records: ExecutionRecords,
    views: Views,
    *,
    rate_limits: RateLimits,
    origins: Sequence[str],
) -> Published:
    """Put together what published graphs are served from."""
    following = Following(waiting, records, views)
    return Published(
        publications=publications,
        calls=Calls(publications, starting, waiting, following, views, rate_limits=rate_limits),
        documents=CallDocuments(publications),
        origins=origins,
    )
