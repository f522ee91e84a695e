"""Random graphs whose outputs are certain: whatever order things happen in, however often they are tried.

A graph is a chain of shapes, each of which takes a number and gives a number, with branches at the side that end in
outputs of their own. No two links race for one pin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
SENT, LOST = "sent-", "lost-"
"""How the two outputs of a request begin that is never repeated: one of them has a value."""


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

    def work(self, source: str, *, metadata: dict[str, Any] = PATIENT, **query: Any) -> str:
        """Add a web request that is set off by a number; return the node's id."""
        delay, flaky = self.random.choice(DELAYS_SECONDS), self.random.choice(FLAKES)
        asked = {"delay": delay, "flaky": flaky, **query}
        url = f"{self.web_url}/work?{urlencode(asked)}"
        node = self.add("send_web_request_block", url=url, method="POST", metadata=metadata)
        self.link(source, f"{node}.body_#_number")
        return node

    def add_number(self, source: str, number: float, operation: str = "Add") -> str:
        """Calculate with a number; return the pin of the result."""
        node = self.add("calculator_block", operation=operation, b=number)
        self.link(source, f"{node}.a")
        return f"{node}.result"


Shape = Callable[[Sketch, str], str]
"""Adds nodes behind a pin that gives a number, and returns a pin that gives a number."""


def pure_chain(sketch: Sketch, source: str) -> str:
    """Calculate, all in one wave."""
    for _ in range(sketch.random.randint(1, 12)):
        source = sketch.add_number(source, sketch.random.randint(-3, 3))
    return source


def remote_chain(sketch: Sketch, source: str) -> str:
    """Make requests one after the other."""
    for _ in range(sketch.random.randint(1, 4)):
        source = f"{sketch.work(source)}.response_#_number"
    return source


def diamond(sketch: Sketch, source: str) -> str:
    """Go two ways and join."""
    left = f"{sketch.work(source)}.response_#_number"
    right = f"{sketch.work(sketch.add_number(source, 2))}.response_#_number"
    join = sketch.add("calculator_block", operation="Add")
    sketch.link(left, f"{join}.a")
    sketch.link(right, f"{join}.b")
    return f"{join}.result"


def loop(sketch: Sketch, source: str) -> str:
    """Go round a few times, with a request in each round or without."""
    zero = sketch.add_number(source, 0, "Multiply")
    count = sketch.add("calculator_block", operation="Add", b=1)
    sketch.link(zero, f"{count}.a")
    is_remote = sketch.random.random() < 0.6
    counted = f"{count}.result"
    if is_remote:
        counted = f"{sketch.work(counted, keep=1, delay=0)}.response_#_number"
    rounds = sketch.random.randint(2, 6 if is_remote else 60)
    ask = sketch.add("condition_block", operator="<", value2=rounds)
    sketch.link(counted, f"{ask}.value1")
    sketch.link(f"{ask}.yes_output", f"{count}.a")
    return f"{ask}.no_output"


def refusal(sketch: Sketch, source: str) -> str:
    """Fail for good, and go on from the error."""
    refused = sketch.add("send_web_request_block", url="http://10.255.255.1/", method="POST")
    sketch.link(source, f"{refused}.body_#_number")
    length = sketch.add("count_items_block")
    sketch.link(f"{refused}.error", f"{length}.collection")
    return f"{length}.count"


def client_error(sketch: Sketch, source: str) -> str:
    """Go on from the body of a 404."""
    return f"{sketch.work(source, status=404)}.client_error_#_number"


def timer(sketch: Sketch, source: str) -> str:
    """Wait for a moment."""
    wait = sketch.add("countdown_timer_block", seconds=str(sketch.random.choice([0.05, 0.3, 1.0])))
    sketch.link(source, f"{wait}.input_message")
    return f"{wait}.output_message"


def large_value(sketch: Sketch, source: str) -> str:
    """Pass a large value through several nodes and send it out again."""
    size = sketch.random.randint(50_000, 500_000)
    made = sketch.work(source, blob=size)
    kept = sketch.add("text_replace_block", old="00", new="-")
    sketch.link(f"{made}.response_#_blob", f"{kept}.text")
    told = sketch.work(f"{made}.response_#_number")
    sketch.link(f"{kept}.output", f"{told}.body_#_blob")
    sketch.output(f"{told}.response_#_sha256")
    if sketch.random.random() < 0.3:
        sketch.output(f"{kept}.output")
    return f"{told}.response_#_number"


def fan_out(sketch: Sketch, source: str) -> str:
    """Make a list, and do something for each of its elements."""
    made = sketch.work(source, items=sketch.random.randint(3, 12))
    step = sketch.add("step_through_items_block")
    sketch.link(f"{made}.response_#_items", f"{step}.items")
    if sketch.random.random() < 0.7:
        sketch.output(f"{sketch.work(f'{step}.item')}.response_#_number")
    else:
        sketch.output(sketch.add_number(f"{step}.item", 1))
    return f"{made}.response_#_number"


def ringing(sketch: Sketch, source: str) -> str:
    """Let a timer go off twice at the side."""
    wait = sketch.add("countdown_timer_block", seconds="0.2", repeat=2)
    sketch.link(source, f"{wait}.input_message")
    sketch.output(f"{wait}.output_message")
    return source


def never_repeated(sketch: Sketch, source: str) -> str:
    """Make a request at the side that may be lost but not repeated."""
    once = sketch.work(source, metadata=ONCE, flaky=0)
    sketch.output(f"{once}.response_#_number", f"{SENT}{once}")
    sketch.output(f"{once}.error", f"{LOST}{once}")
    return source


def review(sketch: Sketch, source: str) -> str:
    """Ask a person, who approves."""
    asked = sketch.add("human_in_the_loop_block", name="May it go on?", editable=False)
    sketch.link(source, f"{asked}.data")
    return f"{asked}.approved_data"


def nested_graph(sketch: Sketch, source: str) -> str:
    """Have another graph do something."""
    number = len(sketch.nested)
    inner = Sketch(sketch.web_url, sketch.random, prefix=f"{sketch.prefix}nested{number}-")
    entry = inner.add("agent_input_block", name="number")
    within = f"{inner.work(f'{entry}.result')}.response_#_number"
    for shape in sketch.random.choices((pure_chain, remote_chain, diamond, timer), k=2):
        within = shape(inner, within)
    inner.output(within, "number")
    sketch.nested.append(rest.graph(inner.nodes, inner.links))
    node = sketch.add("agent_executor_block", graph_id=f"{NESTED}{number}")
    sketch.link(source, f"{node}.number")
    return f"{node}.number"


def unhandled_failure(sketch: Sketch, source: str) -> str:
    """Fail at the side, with nobody to handle it."""
    refused = sketch.add("send_web_request_block", url="http://10.255.255.2/", method="POST")
    sketch.link(source, f"{refused}.body_#_number")
    return source


SHAPES: Sequence[tuple[Shape, float]] = (
    (pure_chain, 3),
    (remote_chain, 4),
    (diamond, 3),
    (loop, 2),
    (refusal, 1),
    (client_error, 1),
    (timer, 1),
    (large_value, 2),
    (fan_out, 2),
    (ringing, 1),
    (never_repeated, 1),
    (review, 1),
    (nested_graph, 2),
    (unhandled_failure, 0.3),
)
"""All there are, with how likely each is."""


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
    """Return a random graph with random inputs."""
    sketch = Sketch(web_url, random)
    entry = sketch.add("agent_input_block", name="number", value=1)
    text = sketch.add("agent_input_block", name="text", value="")
    first = sketch.work(f"{entry}.result")
    sketch.link(f"{text}.result", f"{first}.body_#_blob")
    source = f"{first}.response_#_number"
    shapes, weights = zip(*SHAPES, strict=True)
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
    )
