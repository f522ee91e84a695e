"""All blocks there are. A block exists when its class stands in the tuple below, and in no other way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from app.blocks.base import Block
from app.blocks.library import (
    agents,
    basic,
    calculation,
    code_extraction,
    dictionaries,
    files,
    handbook,
    inputs,
    list_sets,
    lists,
    llm,
    logic,
    outputs,
    parsing,
    patterns,
    reviews,
    sampling,
    text,
    time,
    timer,
    web,
)
from app.errors import NotFound
from app.graph.signature import BlockSignature
from app.pools import is_pool_name

BLOCK_CLASSES: tuple[type[Block], ...] = (
    handbook.TextInputBlock,
    handbook.TextProcessingBlock,
    handbook.FileOperationBlock,
    handbook.ConditionalBlock,
    inputs.AgentInputBlock,
    inputs.AgentShortTextInputBlock,
    inputs.AgentLongTextInputBlock,
    inputs.AgentNumberInputBlock,
    inputs.AgentDateInputBlock,
    inputs.AgentTimeInputBlock,
    inputs.AgentFileInputBlock,
    inputs.AgentDropdownInputBlock,
    inputs.AgentToggleInputBlock,
    inputs.AgentTableInputBlock,
    inputs.AgentGoogleDriveFileInputBlock,
    outputs.AgentOutputBlock,
    basic.StoreValueBlock,
    basic.UniversalTypeConverterBlock,
    basic.NoteBlock,
    files.FileStoreBlock,
    basic.ReverseListOrderBlock,
    basic.PrintToConsoleBlock,
    logic.ConditionBlock,
    logic.IfInputMatchesBlock,
    logic.StepThroughItemsBlock,
    calculation.CalculatorBlock,
    logic.CountItemsBlock,
    sampling.DataSamplingBlock,
    text.FillTextTemplateBlock,
    text.CombineTextsBlock,
    text.TextSplitBlock,
    text.TextReplaceBlock,
    patterns.MatchTextPatternBlock,
    patterns.ExtractTextInformationBlock,
    files.FileReadBlock,
    text.WordCharacterCountBlock,
    text.TextEncoderBlock,
    text.TextDecoderBlock,
    code_extraction.CodeExtractionBlock,
    dictionaries.CreateDictionaryBlock,
    dictionaries.AddToDictionaryBlock,
    dictionaries.FindInDictionaryBlock,
    dictionaries.RemoveFromDictionaryBlock,
    dictionaries.ReplaceDictionaryValueBlock,
    dictionaries.DictionaryIsEmptyBlock,
    lists.CreateListBlock,
    lists.AddToListBlock,
    lists.FindInListBlock,
    lists.GetListItemBlock,
    lists.RemoveFromListBlock,
    lists.ReplaceListItemBlock,
    lists.ListIsEmptyBlock,
    list_sets.ConcatenateListsBlock,
    list_sets.FlattenListBlock,
    list_sets.InterleaveListsBlock,
    list_sets.ZipListsBlock,
    list_sets.ListDifferenceBlock,
    list_sets.ListIntersectionBlock,
    parsing.XMLParserBlock,
    parsing.ReadSpreadsheetBlock,
    time.GetCurrentTimeBlock,
    time.GetCurrentDateBlock,
    time.GetCurrentDateAndTimeBlock,
    timer.CountdownTimerBlock,
    reviews.HumanInTheLoopBlock,
    llm.LlmCallBlock,
    llm.AITextGeneratorBlock,
    web.SendWebRequestBlock,
    agents.AgentExecutorBlock,
)


class BlockSignatures:
    """The blocks as the graph core sees them, by UUID, slug or class name."""

    def __init__(self, blocks: BlockRegistry) -> None:
        self._blocks = blocks

    def get(self, ref: str) -> BlockSignature | None:
        """Return a block's signature, or None if there is no such block."""
        block = self._blocks.get(ref)
        return None if block is None else block.signature


class BlockRegistry:
    """A fixed set of blocks, found by UUID, by slug or by class name.

    Raises:
        ValueError: Two blocks share one of these names, or a pool has a name that none can have.
    """

    def __init__(self, blocks: Iterable[Block]) -> None:
        self._blocks = tuple(blocks)
        self._by_ref: dict[str, Block] = {}
        for block in self._blocks:
            for ref in (block.id, block.signature.slug, block.name):
                other = self._by_ref.setdefault(ref, block)
                if other is not block:
                    raise ValueError(f"{block.name} and {other.name} are both called {ref!r}")
        self.pools = frozenset(block.pool for block in self._blocks if block.pool)
        for pool in self.pools:
            if not is_pool_name(pool):
                raise ValueError(f"A pool cannot be called {pool!r}")
        self.signatures = BlockSignatures(self)

    def get(self, ref: str) -> Block | None:
        """Return a block, or None.

        Args:
            ref: A UUID in any case, a slug or a class name.
        """
        return self._by_ref.get(ref) or self._by_ref.get(ref.lower())

    def require(self, ref: str) -> Block:
        """Return a block.

        Raises:
            NotFound: There is no such block.
        """
        block = self.get(ref)
        if block is None:
            raise NotFound(f"There is no block {ref[:80]!r}")
        return block

    def __iter__(self) -> Iterator[Block]:
        return iter(self._blocks)

    def __len__(self) -> int:
        return len(self._blocks)


def make_registry() -> BlockRegistry:
    """Return every block there is, always in the same order."""
    return BlockRegistry(block_class() for block_class in BLOCK_CLASSES)
