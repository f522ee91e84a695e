"""What a node does whose block does not exist in this process: it fails, and says which block is missing."""

from __future__ import annotations

from collections.abc import Iterator

from app.blocks.base import BlockInput, BlockOutput, Emitted, PureBlock
from app.errors import BlockMissing
from app.graph.placeholders import PLACEHOLDER


class PlaceholderBlock(PureBlock):
    """Stand in for a block that does not exist here. Each node has one of its own; the registry has none."""

    id = PLACEHOLDER.id

    class Input(BlockInput):
        """Nothing: what is linked is dropped."""

    class Output(BlockOutput):
        """Nothing."""

    def __init__(self, missing: str, *, exists_now: bool = False) -> None:
        """Say what is missing.

        Args:
            missing: What the block is called.
            exists_now: Whether it exists by now; a version that was saved without it stays as it is.
        """
        self._message = (
            f"The block {missing[:80]!r} did not exist when this version was saved; save the graph again to use it"
            if exists_now
            else f"The block {missing[:80]!r} does not exist here"
        )

    def run(self, given: Input) -> Iterator[Emitted]:
        """Fail.

        Raises:
            BlockMissing: Always.
        """
        raise BlockMissing(self._message)
