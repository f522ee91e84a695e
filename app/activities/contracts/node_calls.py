"""A call of a remote node: what its activity is given, what it answers, and the codes that stand for no payment."""

from dataclasses import dataclass, field
from typing import Any

from app.graph.conversations import Turn
from app.graph.emissions import Emission

PACKED = -1
"""Stands in place of a pin where all inputs of a call were too large together to travel."""
UNPAID = frozenset({"INSUFFICIENT_CREDITS", "BUDGET_EXCEEDED", "SPENDING_LIMIT_REACHED"})
"""Codes of calls that were not made because nobody could pay for them."""
OVER_BUDGET = "BUDGET_EXCEEDED"


@dataclass(frozen=True)
class NodeCall:
    """Asks for one remote node execution. Constants and large values are loaded by the activity.

    As small as can be, since it stands in the history once a node execution. The execution's id is the workflow's;
    whose it is and what it runs is read from its record, not believed.
    """

    node: int
    n: int
    inputs: list[Any]
    """`[[pin, envelope], …]`, or `[[PACKED, reference]]` to a stored list of that form."""
    is_repeated: bool = False
    """Whether an earlier call of this node execution may have been made: what it has recorded counts."""
    turn: Turn | None = None
    """Set for a block that calls tools, when what it has called has ended."""
    called_by: tuple[int, int] | None = None
    """(node, n) of the node execution that calls it as a tool; None when links alone have begun it."""


@dataclass(frozen=True)
class NodeResult:
    """What a remote node execution gave to links, or what it calls before it goes on."""

    emissions: list[Emission]
    calls: list[list[Any]] = field(default_factory=list)
    """`[[node, [[pin, envelope], …]], …]`. Where there are any, it has not ended and has emitted nothing."""
