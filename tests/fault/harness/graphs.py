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
SENT, LOST = "sent-", "lost-"
"""How the two outputs of a request begin that is never repeated: one of them has a value."""


@dataclass
class Sketch:
    """A graph in the making."""

    web_url: str
    random: Random
    nodes: list[dict[str, Any]] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    shapes: list[str] = field(default_factory=list)
    """What it is made of, for people."""

    def add(self, block: str, /, **constants: Any) -> str:
        """Add a node; return its id."""
        name = f"{block.split('_', maxsplit=1)[0]}{len(self.nodes)}"
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
    (unhandled_failure, 0.3),
)
"""All there are, with how likely each is."""


@dataclass(frozen=True)
class Case:
    """A graph with inputs to run it on."""

    body: dict[str, Any]
    inputs: dict[str, Any]
    shapes: str
    once: frozenset[str]
    """The nodes whose requests are never repeated."""


def make_case(random: Random, web_url: str) -> Case:
    """Return a random graph with random inputs."""
    sketch = Sketch(web_url, random)
    entry = sketch.add("agent_input_block", name="number", value=1)
    text = sketch.add("agent_input_block", name="text", value="")
    first = sketch.work(f"{entry}.result")
    sketch.link(f"{text}.result", f"{first}.body_#_blob")
    source = f"{first}.response_#_number"
    shapes, weights = zip(*SHAPES, strict=True)
    for shape in random.choices(shapes, weights, k=random.randint(2, 4)):
        sketch.shapes.append(shape.__name__)
        source = shape(sketch, source)
    sketch.output(source, "last")
    size = random.choice([10, 10, 10, 60_000])
    inputs = {"number": random.randint(0, 99), "text": "".join(random.choices("abcdefgh ", k=size))}
    return Case(rest.graph(sketch.nodes, sketch.links), inputs, ", ".join(sketch.shapes), _once(sketch))


def _once(sketch: Sketch) -> frozenset[str]:
    return frozenset(
        node["id"] for node in sketch.nodes if node["metadata"].get("delivery") == "at_most_once"
    )
