"""Node executions that call others as tools: which turn they are at, whom they have called and who has ended since.

A turn of a calling node execution ends with calls. When all that it called have ended, it is its turn again.
Its annotations are evaluated, because a `Turn` is decoded inside of workflows.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from app.graph.pairing import Inputs

Key: TypeAlias = tuple[int, int]
"""(node, n)"""


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn of a node execution that has called others in the turn before."""

    number: int
    """2 for the one after the first calls."""
    called: tuple[Key, ...]
    """What was called in the turn before, in the order of the calls. All of it has ended."""


@dataclass(slots=True)
class _Conversation:
    """A node execution that has called others."""

    inputs: Inputs
    turn: int = 1
    called: list[Key] = field(default_factory=list)
    open_count: int = 0
    """How many of those that it called have not ended."""


class Conversations:
    """The conversations of one walk."""

    def __init__(self) -> None:
        self._by_caller: dict[Key, _Conversation] = {}
        self._callers: dict[Key, Key] = {}

    def __bool__(self) -> bool:
        return bool(self._by_caller)

    def caller_of(self, key: Key) -> Key | None:
        """Return which node execution has called another, or None when links alone have begun it, or it has ended."""
        return self._callers.get(key)

    def turn_of(self, caller: Key) -> Turn | None:
        """Return the turn that a node execution is at; None for the first one."""
        conversation = self._by_caller.get(caller)
        return None if conversation is None else Turn(conversation.turn, tuple(conversation.called))

    def begin_calls(self, caller: Key, inputs: Inputs) -> None:
        """Take that a node execution has ended a turn and is going to call others."""
        conversation = self._by_caller.setdefault(caller, _Conversation(inputs))
        conversation.turn += 1
        conversation.called = []

    def add(self, caller: Key, called: Key) -> None:
        """Take that it has called one."""
        conversation = self._by_caller[caller]
        conversation.called.append(called)
        conversation.open_count += 1
        self._callers[called] = caller

    def end(self, called: Key) -> tuple[Key, Inputs] | None:
        """Take that one that was called has ended; return whose turn it is now, with its inputs, if all have."""
        caller = self._callers.pop(called)
        conversation = self._by_caller.get(caller)
        if conversation is None:
            # A wave knows who was called, and not what follows from that.
            return None
        conversation.open_count -= 1
        return None if conversation.open_count else (caller, conversation.inputs)

    def forget(self, caller: Key) -> None:
        """Take that a node execution has ended that may have called others."""
        self._by_caller.pop(caller, None)

    def dump(self) -> dict[str, Any]:
        """Return the state as JSON, nothing at all where nothing is called."""
        if not self._by_caller:
            return {}
        calling = [
            [*caller, list(conversation.inputs.items()), conversation.turn, conversation.called]
            for caller, conversation in sorted(self._by_caller.items())
        ]
        return {"calling": calling, "called": self._dump_callers(None)}

    def dump_part(self, nodes: Collection[int]) -> dict[str, Any]:
        """Return as JSON who has called firings of some nodes, nothing at all where nobody has."""
        callers = self._dump_callers(nodes)
        return {"called": callers} if callers else {}

    def _dump_callers(self, nodes: Collection[int] | None) -> list[list[int]]:
        return [
            [*called, *caller]
            for called, caller in sorted(self._callers.items())
            if nodes is None or called[0] in nodes
        ]

    def load(self, dumped: dict[str, Any]) -> None:
        """Take over a state."""
        for node, n, caller, caller_n in dumped.get("called", ()):
            self._callers[node, n] = (caller, caller_n)
        for node, n, pairs, turn, called in dumped.get("calling", ()):
            keys = [(called_node, called_n) for called_node, called_n in called]
            open_count = sum(self._callers.get(key) == (node, n) for key in keys)
            self._by_caller[node, n] = _Conversation(dict(pairs), turn, keys, open_count)
