"""Shapes with language models and with credentials; as the other ones, what they give is certain."""

from __future__ import annotations

from collections.abc import Sequence

from tests.fault.harness.graphs import Shape, nested_graph
from tests.fault.harness.sketches import PATIENT, Sketch

WORDS_OF_A_PART = 6


def conversation(sketch: Sketch, source: str) -> str:
    """Let a model call a request, a calculation and another graph, as it likes."""
    boss = sketch.add(
        "orchestrator_block",
        agent_mode_max_iterations=-1,
        multiple_tool_calls=sketch.random.random() < 0.5,
        metadata=PATIENT,
    )
    sketch.link(source, f"{boss}.prompt")
    tools = f"{boss}.tools"
    sketch.work(tools)
    sketch.add_number(tools, 4)
    nested_graph(sketch, tools)
    return sketch.add_number(f"{boss}.finished", 0)


def conversation_of_the_graph(sketch: Sketch, source: str) -> str:
    """Let a model say which node comes next, and have the graph lead back to it."""
    boss = sketch.add(
        "orchestrator_block", agent_mode_max_iterations=0, multiple_tool_calls=True, metadata=PATIENT
    )
    sketch.links.append(f"{source} => {boss}.prompt")
    tools = f"{boss}.tools"
    for given in (
        f"{sketch.work(tools)}.response_#_number",
        sketch.add_number(tools, 4),
    ):
        sketch.link(given, f"{boss}.last_tool_output")
    sketch.link(f"{boss}.conversations", f"{boss}.conversation_history")
    return sketch.add_number(f"{boss}.finished", 0)


def summary(sketch: Sketch, source: str) -> str:
    """Have a text summarized at the side, in several steps."""
    words = [f"word{sketch.random.randrange(1_000)}" for _ in range(sketch.random.randint(12, 36))]
    node = sketch.add(
        "ai_text_summarizer_block",
        text=" ".join(words),
        max_tokens=WORDS_OF_A_PART,
        chunk_overlap=0,
        metadata=PATIENT,
    )
    sketch.link(source, f"{node}.focus")
    sketch.output(f"{node}.summary")
    return source


def secret(sketch: Sketch, source: str) -> str:
    """Make requests that are answered to whoever sends the right header, which the execution chooses."""
    for _ in range(sketch.random.randint(1, 3)):
        node = sketch.work(source, block="fff86bcd-e001-4bad-a7f6-2eae4720c8dc", secret=1)
        source = f"{node}.response_#_number"
    return source


MODEL_SHAPES: Sequence[tuple[Shape, float]] = (
    (conversation, 4),
    (conversation_of_the_graph, 2),
    (summary, 3),
    (secret, 2),
)
"""All there are, with how likely each is beside the others."""
