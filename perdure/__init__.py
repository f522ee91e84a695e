"""The Python client of Perdure: graphs saved, executions started, watched and steered, over its REST API."""

from perdure._async.client import AsyncClient
from perdure._sync.client import Client
from perdure.errors import UNREACHABLE, ApiError

__all__ = ["UNREACHABLE", "ApiError", "AsyncClient", "Client"]
