"""What can be followed: one execution, those of a graph, or all of a user's."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EXECUTION, GRAPH, USER = "execution", "graph", "user"


@dataclass(frozen=True, slots=True)
class Channel:
    """What is followed. Whose it is, is said elsewhere."""

    kind: str
    """`execution`, `graph` or `user`."""
    id: uuid.UUID | None = None
    """Of the execution or the graph."""

    @classmethod
    def parse(cls, text: str) -> Channel:
        """Return the channel that has been written as a text."""
        kind, _, channel_id = text.partition(":")
        return cls(kind, uuid.UUID(channel_id) if channel_id else None)

    def __str__(self) -> str:
        return f"{self.kind}:{self.id or ''}"

    def name_for(self, user_id: str) -> str:
        """Return what a user's client is told that it is called: as AutoGPT calls it."""
        match self.kind:
            case "execution":
                return f"{user_id}|graph_exec#{self.id}"
            case "graph":
                return f"{user_id}|graph#{self.id}|executions"
            case _:
                return f"{user_id}|executions"


def channel_of(path_params: Mapping[str, Any]) -> Channel | None:
    """Return what a path names that is followed there; None when it names nothing that can be."""
    for name, kind in (("execution_id", EXECUTION), ("graph_id", GRAPH)):
        if name in path_params:
            try:
                return Channel(kind, uuid.UUID(path_params[name]))
            except ValueError:
                return None
    return Channel(USER)
