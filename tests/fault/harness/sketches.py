"""Graphs in the making: nodes are added one by one, and linked."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import urlencode

from tests.e2e import rest

PATIENT = {"retry": {"max_attempts": 100, "initial_seconds": 0.1, "maximum_seconds": 1}}
"""Faults cost attempts; a graph must not fail by them."""
ONCE = {"delivery": "at_most_once", "retry": {"max_attempts": 5, "initial_seconds": 0.1}}
DELAYS_SECONDS = (0, 0, 0, 0.02, 0.05, 0.2, 0.5, 1.5)
FLAKES = (0, 0, 0, 0, 1, 2)
NESTED = "nested "


@dataclass
class Sketch:
    """A graph in the making."""

    web_url: str
    random: Random
    prefix: str = ""
    """How the ids of its nodes begin."""
    nodes: list[dict[str, Any]] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    nested: list[dict[str, Any]] = field(default_factory=list)
    """The graphs that it executes. While none is saved, a node names one by `NESTED` and its number."""

    def add(self, block: str, /, **constants: Any) -> str:
        """Add a node; return its id."""
        name = f"{self.prefix}{block.split('_', maxsplit=1)[0]}{len(self.nodes)}"
        self.nodes.append(rest.node(name, block, **constants))
        return name

    def link(self, source: str, sink: str) -> None:
        """Link two pins."""
        self.links.append(f"{source} -> {sink}")

    def output(self, source: str, name: str = "") -> None:
        """Let the values of a pin be an output of the graph."""
        node = self.add("agent_output_block", name=name or f"out{len(self.nodes)}")
        self.link(source, f"{node}.value")

    def work(
        self,
        source: str,
        *,
        block: str = "send_web_request_block",
        metadata: dict[str, Any] = PATIENT,
        **query: Any,
    ) -> str:
        """Add a web request that is set off by a number; return the node's id."""
        delay, flaky = self.random.choice(DELAYS_SECONDS), self.random.choice(FLAKES)
        asked = {"delay": delay, "flaky": flaky, **query}
        url = f"{self.web_url}/work?{urlencode(asked)}"
        node = self.add(block, url=url, method="POST", metadata=metadata)
        self.link(source, f"{node}.body_#_number")
        return node

    def add_number(self, source: str, number: float, operation: str = "Add") -> str:
        """Calculate with a number; return the pin of the result."""
        node = self.add("calculator_block", operation=operation, b=number)
        self.link(source, f"{node}.a")
        return f"{node}.result"
