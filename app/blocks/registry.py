"""All blocks there are.

A block exists when its class stands in the tuple below or comes with a package that whoever runs the server names, and
in no other way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from app.blocks.base import Block, RemoteBlock
from app.blocks.choice import BlockChoice
from app.blocks.library import (
    agents,
    basic,
    calculation,
    code,
    code_extraction,
    code_steps,
    databases,
    dates,
    dictionaries,
    email,
    feeds,
    files,
    firecrawl,
    firecrawl_jobs,
    handbook,
    inputs,
    json_data,
    list_order,
    list_sets,
    lists,
    llm,
    llm_condition,
    llm_structured,
    llm_summary,
    logic,
    memory,
    orchestrator,
    outputs,
    parsing,
    patterns,
    reading,
    reviews,
    sampling,
    screenshots,
    spreadsheets,
    text,
    time,
    timer,
    tool_servers,
    triggers,
    web,
    web_services,
)
from app.blocks.packages import RegistryRefused, load_packages
from app.errors import BlockDisabled, NotFound
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
    code.ExecuteCodeBlock,
    code_steps.InstantiateCodeSandboxBlock,
    code_steps.ExecuteCodeStepBlock,
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
    spreadsheets.ReadSpreadsheetBlock,
    memory.PersistInformationBlock,
    memory.RetrieveInformationBlock,
    databases.SQLQueryBlock,
    email.SendEmailBlock,
    time.GetCurrentTimeBlock,
    time.GetCurrentDateBlock,
    time.GetCurrentDateAndTimeBlock,
    timer.CountdownTimerBlock,
    reviews.HumanInTheLoopBlock,
    llm.LlmCallBlock,
    llm.AITextGeneratorBlock,
    llm.AIConversationBlock,
    llm.PerplexityBlock,
    llm_structured.AIStructuredResponseGeneratorBlock,
    llm_structured.AIListGeneratorBlock,
    llm_condition.AIConditionBlock,
    llm_summary.AITextSummarizerBlock,
    web.SendWebRequestBlock,
    web.SendAuthenticatedWebRequestBlock,
    reading.ExtractWebsiteContentBlock,
    reading.GetWikipediaSummaryBlock,
    reading.SearchTheWebBlock,
    reading.FactCheckerBlock,
    feeds.ReadRSSFeedBlock,
    web_services.GetWeatherInformationBlock,
    firecrawl.FirecrawlScrapeBlock,
    firecrawl.FirecrawlMapWebsiteBlock,
    firecrawl_jobs.FirecrawlCrawlBlock,
    firecrawl_jobs.FirecrawlExtractBlock,
    web_services.GoogleMapsSearchBlock,
    screenshots.ScreenshotWebPageBlock,
    tool_servers.MCPToolBlock,
    triggers.GenericWebhookTriggerBlock,
    orchestrator.OrchestratorBlock,
    agents.AgentExecutorBlock,
    json_data.ParseJsonBlock,
    json_data.ToJsonBlock,
    json_data.MergeDictionariesBlock,
    list_order.FilterListBlock,
    list_order.SortListBlock,
    list_order.SliceListBlock,
    patterns.ReplaceTextPatternBlock,
    dates.ShiftDateBlock,
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

    What is turned off stays in it: graphs that use it can be read, and a call of it fails (`app.blocks.calling`).

    Raises:
        RegistryRefused: Two blocks share one of these names, one costs something and cannot be charged, a pool has a
            name that none can have, or a block that is to be turned off does not exist.
    """

    def __init__(
        self,
        blocks: Iterable[Block],
        *,
        disabled: Collection[str] = (),
        settings: Collection[str] = (),
    ) -> None:
        """Take the blocks.

        Args:
            blocks: One instance of each.
            disabled: Those to be turned off, by UUID, slug or class name.
            settings: The settings that are made; a block that needs another one is off. With some, the owners' own
                keys are not used.
        """
        self._blocks = tuple(blocks)
        self._by_ref: dict[str, Block] = {}
        for block in self._blocks:
            for ref in block.refs:
                other = self._by_ref.setdefault(ref, block)
                if other is not block:
                    raise RegistryRefused(f"{block.name} and {other.name} are both called {ref!r}")
            if block.costs and not isinstance(block, RemoteBlock):
                # What is carried in waves is never charged.
                raise RegistryRefused(f"{block.name} costs something, so it has to be a RemoteBlock")
            block.uses_own_keys = not block.own_keys_unused_with or block.own_keys_unused_with not in settings
            if block.setting and block.setting not in settings:
                block.off_because = f"{block.name} is off until {block.setting} is set"
        self._disable(disabled)
        self.pools = frozenset(block.pool for block in self._blocks if block.pool)
        for pool in self.pools:
            if not is_pool_name(pool):
                raise RegistryRefused(f"A pool cannot be called {pool!r}")
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

    def require_enabled(self, ref: str) -> Block:
        """Return a block that may be executed.

        Raises:
            NotFound: There is no such block.
            BlockDisabled: It is turned off.
        """
        block = self.require(ref)
        if block.off_because:
            raise BlockDisabled(block.off_because)
        return block

    def __iter__(self) -> Iterator[Block]:
        return iter(self._blocks)

    def __len__(self) -> int:
        return len(self._blocks)

    def _disable(self, refs: Collection[str]) -> None:
        for ref in refs:
            block = self.get(ref)
            if block is None:
                raise RegistryRefused(f"There is no block {ref[:80]!r} to be turned off")
            block.off_because = f"{block.name} is turned off on this server"


def make_registry(choice: BlockChoice | None = None) -> BlockRegistry:
    """Return every block there is, always in the same order; those of packages come last.

    Args:
        choice: Which blocks there are and which of them are on; our own unless said otherwise.

    Raises:
        RegistryRefused: The choice names something that there is not, a package cannot be loaded, or two blocks share
            a name.
    """
    choice = choice or BlockChoice()
    classes = (*BLOCK_CLASSES, *load_packages(choice.packages))
    return BlockRegistry(
        (block_class() for block_class in classes), disabled=choice.disabled, settings=choice.settings
    )
