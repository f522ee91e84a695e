"""Blocks that leave something for later executions, and find what earlier ones have left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, RemoteBlock
from app.blocks.context import BlockContext, Scope
from app.graph.signature import Effect
from app.json_values import to_json


class PersistInformationBlock(RemoteBlock):
    """Remember a value under a key for later executions. The last one that is written stays."""

    id = "1d055e55-a2b9-4547-8311-907d05b0304d"
    categories = (BlockCategory.DATA,)
    effect = Effect.KEYED

    class Input(BlockInput):
        """What to remember."""

        key: str
        """The name to find it by, 500 characters at most."""
        value: Any
        """At most 1 MiB as JSON."""
        scope: Scope = Scope.AGENT
        """Whether executions of this graph see it, or those of all your graphs."""

    class Output(BlockOutput):
        """What is remembered."""

        value: Any
        """The value."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Emit the value once it is kept.

        Raises:
            BlockLimitExceeded: The key or the value is too long, or too much is remembered.
            BlockInputInvalid: It can be no key.
        """
        await context.memory.put(given.key, to_json(given.value), scope=given.scope)
        yield "value", given.value


class RetrieveInformationBlock(RemoteBlock):
    """Find what an execution has remembered under a key."""

    id = "d8710fc9-6e29-481e-a7d5-165eb16f8471"
    categories = (BlockCategory.DATA,)
    is_static = True
    effect = Effect.PURE

    class Input(BlockInput):
        """What to find."""

        key: str
        """The name that it was remembered by."""
        scope: Scope = Scope.AGENT
        """Whether executions of this graph have left it, or any of yours."""
        default_value: Any = None
        """What to emit when there is nothing."""

    class Output(BlockOutput):
        """What was found."""

        value: Any
        """The value, or the default."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Emit the value.

        Raises:
            BlockInputInvalid: It can be no key.
        """
        found = await context.memory.get(given.key, scope=given.scope)
        yield "value", found[0] if found else given.default_value
