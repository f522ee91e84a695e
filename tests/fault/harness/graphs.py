"""Shapes whose outputs are certain: whatever order things happen in, however often they are tried.

Each takes a number and gives a number, with branches at the side that end in outputs of their own. No two links race
for one pin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.e2e import rest
from tests.fault.harness.sketches import NESTED, ONCE, Sketch

SENT, LOST = "sent-", "lost-"
"""How the two outputs of a request begin that is never repeated: one of them has a value."""

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
