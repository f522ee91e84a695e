"""Random graphs with inputs to run them on: a chain of shapes, each behind the one before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import urlsplit

from tests.e2e import rest
from tests.fault.harness.graphs import SHAPES, review
from tests.fault.harness.model_shapes import MODEL_SHAPES, secret
from tests.fault.harness.sketches import NESTED, Sketch


@dataclass(frozen=True)
class Case:
    """A graph with inputs to run it on."""

    body: dict[str, Any]
    nested: list[dict[str, Any]]
    """The graphs that it executes, to be saved before."""
    inputs: dict[str, Any]
    shapes: str
    """What it is made of, for people."""
    once: frozenset[str]
    """The nodes whose requests are never repeated."""
    secret_key: str = ""
    """The key that the credentials are chosen by which it needs; empty for none."""

    @property
    def has_reviews(self) -> bool:
        """Whether somebody has to answer."""
        return review.__name__ in self.shapes

    def body_with(self, nested_ids: Sequence[str]) -> dict[str, Any]:
        """Return the graph with the ids of the saved graphs that it executes."""
        names = {f"{NESTED}{number}": graph_id for number, graph_id in enumerate(nested_ids)}
        nodes = []
        for node in self.body["nodes"]:
            named = {"graph_id": names[graph]} if (graph := node["input_default"].get("graph_id")) else {}
            nodes.append({**node, "input_default": {**node["input_default"], **named}})
        return {**self.body, "nodes": nodes}


def make_case(random: Random, web_url: str) -> Case:
    """Return a random graph with random inputs.

    Args:
        random: Decides.
        web_url: Where the graph finds the world.
    """
    sketch = Sketch(web_url, random)
    entry = sketch.add("agent_input_block", name="number", value=1)
    text = sketch.add("agent_input_block", name="text", value="")
    first = sketch.work(f"{entry}.result")
    sketch.link(f"{text}.result", f"{first}.body_#_blob")
    source = f"{first}.response_#_number"
    shapes, weights = zip(*SHAPES, *MODEL_SHAPES, strict=True)
    chosen = random.choices(shapes, weights, k=random.randint(2, 4))
    for shape in chosen:
        source = shape(sketch, source)
    sketch.output(source, "last")
    size = random.choice([10, 10, 10, 60_000])
    return Case(
        rest.graph(sketch.nodes, sketch.links),
        sketch.nested,
        {"number": random.randint(0, 99), "text": "".join(random.choices("abcdefgh ", k=size))},
        ", ".join(shape.__name__ for shape in chosen),
        frozenset(node["id"] for node in sketch.nodes if node["metadata"].get("delivery") == "at_most_once"),
        f"{urlsplit(web_url).netloc}-http_host_scoped_credentials" if secret in chosen else "",
    )
