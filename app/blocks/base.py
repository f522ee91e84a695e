"""What every block is: typed inputs and outputs, a lane, and a way to run.

A block knows nothing of Temporal, of the database or of the graph it stands in.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from app.blocks.pin_texts import pin_texts
from app.graph.costs import Cost, Use
from app.graph.credentials import CredentialsNeed
from app.graph.signature import (
    ONE_ATTEMPT,
    BlockSignature,
    Effect,
    InputPin,
    Kind,
    Lane,
    RetryPolicy,
)

if TYPE_CHECKING:
    from app.blocks.context import BlockContext

Emitted: TypeAlias = tuple[str, Any]
"""An output pin and the value that appears on it."""


class BlockCategory(StrEnum):
    """What a block is good for, as the block list shows it."""

    AI = "ai"
    BASIC = "basic"
    DATA = "data"
    INPUT = "input"
    LOGIC = "logic"
    OUTPUT = "output"
    SEARCH = "search"
    TEXT = "text"
    MULTIMEDIA = "multimedia"
    AGENT = "agent"
    COMMUNICATION = "communication"
    DEVELOPER_TOOLS = "developer_tools"


class _Pins(BaseModel):
    # Most workers meet few of the blocks, so that what checks values is made for those that they meet.
    model_config = ConfigDict(defer_build=True)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe the pins by the docstrings under their fields."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for pin, text in pin_texts(cls).items():
            properties[pin].setdefault("description", text)
        return schema


class BlockInput(_Pins):
    """The inputs of a block, one field per pin. Keys that no pin has are ignored."""

    model_config = ConfigDict(extra="ignore")


class BlockOutput(_Pins):
    """The outputs of a block, one field per pin. A block may emit each of them any number of times."""

    model_config = ConfigDict(extra="forbid")


class Block(ABC):
    """A kind of work. The class's docstring is what users read about it."""

    id: ClassVar[str]
    """A stable UUID."""
    slug: ClassVar[str] = ""
    """A stable name in snake_case; made from the class name when left empty."""
    categories: ClassVar[tuple[BlockCategory, ...]] = ()
    kind: ClassVar[Kind] = Kind.STANDARD
    lane: ClassVar[Lane]
    pool: ClassVar[str] = ""
    """The pool of workers that serves it; empty for the common one."""
    is_static: ClassVar[bool] = False
    """Whether what it emits stays on the links for later node executions."""
    takes_any_input: ClassVar[bool] = False
    gives_any_output: ClassVar[bool] = False
    emits_many: ClassVar[bool] = False
    """Whether one call may emit several values on the same pin. Estimates go by it."""
    retry: ClassVar[RetryPolicy] = ONE_ATTEMPT
    timeout_seconds: ClassVar[float] = 60.0
    effect: ClassVar[Effect] = Effect.PURE
    costs: ClassVar[tuple[Cost, ...]] = ()
    """What a call costs that the platform pays for; the first that applies counts."""
    credentials: ClassVar[Mapping[str, CredentialsNeed]] = MappingProxyType({})
    """What the inputs that hold credentials are for, by input. Such an input is declared `CredentialsRef | None`."""
    is_sensitive: ClassVar[bool] = False
    """Whether it acts in the world in a way that its owner may want to be asked about first."""
    setting: ClassVar[str] = ""
    """The setting that turns it on, `PERDURE_…`; empty for a block that is on unless it is turned off."""
    own_keys_unused_with: ClassVar[str] = ""
    """The setting, `PERDURE_…`, with which the owner's own credentials are not used, so that a call is not free."""
    uses_own_keys: bool = True
    """Whether credentials that were chosen are used, which makes a call free. The registry says so, as the next."""
    off_because: str = ""
    """Why it is not executed in this process; empty when it is. The registry says so, before anybody else looks."""

    class Input(BlockInput):
        """The inputs."""

    class Output(BlockOutput):
        """The outputs."""

    @cached_property
    def name(self) -> str:
        """Return the class name: the activity type in Temporal."""
        return type(self).__name__

    @cached_property
    def description(self) -> str:
        """Return the first paragraph of the class's docstring."""
        return " ".join((type(self).__doc__ or "").strip().split("\n\n")[0].split())

    @cached_property
    def refs(self) -> tuple[str, str, str]:
        """Return what it is found by: the UUID, the slug and the class name."""
        slug = self.slug or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", self.name).lower()
        return self.id, slug, self.name

    @cached_property
    def signature(self) -> BlockSignature:
        """Return this block as the core sees it."""
        return BlockSignature(
            id=self.id,
            slug=self.refs[1],
            name=self.name,
            kind=self.kind,
            lane=self.lane,
            pool=self.pool,
            inputs={
                field.alias or name: InputPin(
                    annotation=field.annotation,
                    is_required=field.is_required(),
                    default=None if field.is_required() else field.get_default(),
                )
                for name, field in self.Input.model_fields.items()
            },
            outputs=frozenset(self.Output.model_fields) | self._error_pin(),
            takes_any_input=self.takes_any_input,
            gives_any_output=self.gives_any_output,
            emits_many=self.emits_many,
            is_static=self.is_static,
            retry=self.retry,
            timeout_seconds=self.timeout_seconds,
            effect=self.effect,
            calls_tools=isinstance(self, ToolCallingBlock),
            credentials=self.credentials,
            is_sensitive=self.is_sensitive,
            off_because=self.off_because,
        )

    def cost_of(self, given: Mapping[str, Any]) -> int:
        """Return what one call with these inputs is estimated to cost, in credits: as much is reserved before it.

        It is 0 with the owner's own credentials.
        """
        cost = None if self._is_paid_by_owner(given) else self.find_cost(given)
        return 0 if cost is None else cost.estimate

    def charge_of(self, given: Mapping[str, Any], used: Use) -> int:
        """Return what one call with these inputs has cost, in credits, once it is known what it has used."""
        cost = None if self._is_paid_by_owner(given) else self.find_cost(given)
        return 0 if cost is None else cost.charge(used)

    def find_cost(self, given: Mapping[str, Any]) -> Cost | None:
        """Return the cost that applies to these inputs, or None when none does."""
        for cost in self.costs:
            if all(given.get(name) == wanted for name, wanted in cost.filter.items()):
                return cost
        return None

    def effect_of(self, given: dict[str, Any]) -> Effect:
        """Return what a second call with these inputs does to the world."""
        return self.effect

    def _is_paid_by_owner(self, given: Mapping[str, Any]) -> bool:
        chosen = (given.get(name) for name in self.credentials) if self.uses_own_keys else ()
        return any(isinstance(one, Mapping) and bool(one.get("id")) for one in chosen)

    def _error_pin(self) -> frozenset[str]:
        return frozenset() if self.kind in (Kind.INPUT, Kind.OUTPUT) else frozenset({"error"})


class PureBlock(Block):
    """A block that is pure and fast: the same inputs give the same outputs, and nothing else happens.

    It is carried in waves, may be computed again after a crash, and is never tried twice for a failure.
    """

    lane = Lane.LOCAL

    @abstractmethod
    def run(self, given: Any) -> Iterator[Emitted]:
        """Emit the outputs.

        Raises:
            BlockError: The block failed; the message is for the user.
        """


class RemoteBlock(Block):
    """A block that touches the world, costs money or takes long: a regular activity of its own."""

    lane = Lane.REMOTE
    retry = RetryPolicy()
    timeout_seconds = 600.0
    effect = Effect.UNKEYED

    @abstractmethod
    def run(self, given: Any, context: BlockContext) -> AsyncIterator[Emitted]:
        """Emit the outputs.

        Raises:
            BlockUnavailable: It may work later; the engine decides about retrying.
            BlockError: It failed and would fail again; the message is for the user.
        """


class ToolCallingBlock(RemoteBlock):
    """A block that may call the nodes that links lead to from its pin `tools`, turn by turn.

    It runs once per turn. `context.conversation` holds its tools, and what was said and called before. A turn that
    emits a `Calls` on `tools` ends with it: the block runs again when the called nodes have ended.
    """


@dataclass(frozen=True, slots=True)
class Wait:
    """How long a timer block waits, and how often."""

    seconds: float
    rounds: int = 1


class TimerBlock(Block):
    """A block that waits on a durable timer, however long, and then emits."""

    lane = Lane.TIMER
    emits_many = True

    @abstractmethod
    def wait(self, given: Any) -> Wait:
        """Return how long to wait and how often."""

    @abstractmethod
    def run(self, given: Any) -> Iterator[Emitted]:
        """Emit the outputs of one round."""
