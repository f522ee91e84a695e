"""The block that lets a language model decide which nodes are executed, and with what."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import Field

from app.blocks.base import BlockInput, BlockOutput, Emitted, ToolCallingBlock
from app.blocks.conversing import answer, answer_with, list_pending, shorten
from app.blocks.credentials import CredentialsRef
from app.blocks.model_block import ANSWER_TOKENS, CHARACTERS_PER_TOKEN, ModelBlock, ask, fill
from app.blocks.tools import Call, Calls, ToolNode
from app.errors import BlockError, BlockLimitExceeded
from app.graph.tools import LAST_TOOL_OUTPUT, TOOLS, tool_pin
from app.json_values import to_json
from app.llm.language_models import Completion, Message, Tool, ToolCall
from app.llm.models import DEFAULT_MODEL, find_model

if TYPE_CHECKING:
    from app.blocks.context import BlockContext

MAX_ATTEMPTS_AT_CALLS = 10
USUAL_ROOM_CHARACTERS = 300_000
"""What a conversation may come to with a model of which nothing is known."""
LEAST_ROOM_CHARACTERS = 4_000

SYSTEM_PROMPT = (
    "You complete a task with the tools that you are given. Decide for yourself which of them to use, in which order, "
    "and with which arguments; never invent what a tool could tell you. When a tool fails, read why and try another "
    "way. When the task is done, answer with the result and call no further tool."
)
_ONE_AT_A_TIME = "Call one tool at a time."
_LAST_TURN = (
    "These are the last tools that you may call. Choose so that the task can be finished with what they give."
)


class ExecutionMode(StrEnum):
    """Who leads the conversation."""

    BUILT_IN = "built_in"
    EXTENDED_THINKING = "extended_thinking"
    """The same: the engine leads it."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a model has said."""

    message: Message
    text: str
    calls: Sequence[Call]


class OrchestratorBlock(ModelBlock, ToolCallingBlock):
    """Let a language model use other nodes as tools: those that links lead to from `tools`.

    Without agent mode it asks the model once, and emits what the model calls a tool with over the link to that tool. In
    agent mode it goes on by itself: it calls the nodes, tells the model what they gave, and ends when the model calls
    nothing more.
    """

    id = "3b191d9f-356f-482d-8238-ba04b6d18381"
    emits_many = True
    slug = "orchestrator_block"

    class Input(BlockInput):
        """The task, who solves it, and how."""

        prompt: str
        """The task. May hold `{{name}}` expressions, filled from `prompt_values`."""
        model: str = DEFAULT_MODEL
        """The model's name; any that a configured provider serves and that can call tools."""
        credentials: CredentialsRef | None = None
        """Your own key for the model's provider; the server's is used when there is none."""
        multiple_tool_calls: bool = False
        """Whether the model may call several tools at once; else the first call counts."""
        sys_prompt: str = SYSTEM_PROMPT
        """What the model is told before. May hold expressions as `prompt` does."""
        conversation_history: list[dict[str, Any]] | None = Field(default=[])
        """What was said before, as `conversations` gave it."""
        last_tool_output: Any = None
        """What the first tool gave that the conversation waits for."""
        retry: int = 3
        """How often the model is asked again, all in all, when it calls tools that there are not, or wrongly."""
        prompt_values: dict[str, str] = Field(default={})
        """The values of the expressions; the prompts are taken as they are when there are none."""
        max_tokens: int | None = None
        """The most that the model may answer each time."""
        ollama_host: str = "localhost:11434"
        """Not used: local models are served through the server's setting `PERDURE_LLM_BASE_URL`."""
        agent_mode_max_iterations: int = 0
        """0 to ask once; else agent mode, with so many turns at most, or -1 for any number."""
        execution_mode: ExecutionMode = ExecutionMode.BUILT_IN
        """Both are the same here."""
        conversation_compaction: bool = True
        """Whether the middle of a very long conversation is kept from the model."""

    class Output(BlockOutput):
        """What the model wants to know, or its answer."""

        tools: Any
        """Where tool links start. What is emitted goes out on a pin of each link: `tools_^_<node>_~_<input>`."""
        finished: str
        """The model's answer, when it calls no tool any more."""
        conversations: list[Any]
        """The messages so far, each with `role` and `content`."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Take a turn.

        Raises:
            BlockUnavailable: The provider cannot answer now.
            BlockError: The provider refuses, none is configured, or the model goes on calling tools wrongly.
        """
        conversation = context.conversation
        limit = given.agent_mode_max_iterations
        if conversation.turn > 1:
            messages = [*conversation.messages, *map(answer_with, conversation.results)]
        else:
            messages = _opening(given)
            if list_pending(messages):
                yield "conversations", messages
                return
        if 0 < limit < conversation.turn:
            yield "finished", f"The task was not finished within {limit} turns"
            yield "conversations", messages
            return
        said = await _ask(given, context, messages, is_last=conversation.turn == limit)
        messages.append(said.message)
        if said.calls and limit != 0:
            yield TOOLS, Calls(messages[len(conversation.messages) :], said.calls)
            return
        if not said.calls:
            yield "finished", said.text
        for call in said.calls:
            for pin in _tool_of(call, conversation.tools).pins.values():
                yield tool_pin(call.node_id, pin), call.values.get(pin)
        if said.calls or limit != 0:
            yield "conversations", messages


def _opening(given: OrchestratorBlock.Input) -> list[Any]:
    """Return the conversation as it stands before the model is asked for the first time."""
    system, prompt = fill(given.sys_prompt, given.prompt_values), fill(given.prompt, given.prompt_values)
    messages: list[Any] = [dict(message) for message in given.conversation_history or ()]
    if system and not any(message.get("role") == "system" for message in messages):
        messages.insert(0, {"role": "system", "content": system})
    pending = list_pending(messages)
    if not pending:
        messages.append({"role": "user", "content": prompt})
    elif LAST_TOOL_OUTPUT in given.model_fields_set:
        messages.append(answer(pending[0], given.last_tool_output))
    return messages


def _tool_of(call: Call, tools: Sequence[ToolNode]) -> ToolNode:
    return next(tool for tool in tools if tool.node_id == call.node_id)


# -- the model


async def _ask(
    given: OrchestratorBlock.Input, context: BlockContext, messages: Sequence[Any], *, is_last: bool
) -> _Answer:
    """Ask the model until its calls can be made.

    Raises:
        BlockError: They never could.
    """
    sent = _sent(given, messages, is_last=is_last)
    tools = context.conversation.tools
    problems: dict[str, str] = {}
    for attempt in range(1, min(max(given.retry, 1), MAX_ATTEMPTS_AT_CALLS) + 1):
        completion = await ask(
            context,
            given.model,
            sent,
            part="" if attempt == 1 else f"again {attempt}",
            max_tokens=given.max_tokens,
            tools=[Tool(tool.name, tool.description, dict(tool.parameters)) for tool in tools],
            is_shown=True,
        )
        wanted = completion.tool_calls if given.multiple_tool_calls else completion.tool_calls[:1]
        calls, problems = _read(wanted, tools)
        if not problems:
            return _Answer(_message_of(completion, wanted), completion.text, calls)
        told = [
            answer(call.id, problems.get(call.id, "Not called: another call was wrong.")) for call in wanted
        ]
        sent = [*sent, _message_of(completion, wanted), *told]
    raise BlockError(
        f"The model does not call its tools as they can be called: {next(iter(problems.values()))}"
    )


def _sent(given: OrchestratorBlock.Input, messages: Sequence[Any], *, is_last: bool) -> list[Any]:
    sent = list(messages)
    if given.conversation_compaction:
        sent = shorten(messages, _room_of(given.model, given.max_tokens))
    hints = [_ONE_AT_A_TIME] if not given.multiple_tool_calls else []
    hints += [_LAST_TURN] if is_last else []
    if hints and sent and sent[0].get("role") == "system":
        return [{**sent[0], "content": " ".join([str(sent[0]["content"]), *hints])}, *sent[1:]]
    return sent


def _room_of(model: str, max_tokens: int | None) -> int:
    """Return how many characters a model can be sent, with some left for its tools and its answer."""
    known = find_model(model)
    if known is None or known.context_tokens is None:
        return USUAL_ROOM_CHARACTERS
    room = (known.context_tokens - (max_tokens or ANSWER_TOKENS)) * CHARACTERS_PER_TOKEN
    return max(room * 3 // 4, LEAST_ROOM_CHARACTERS)


def _message_of(completion: Completion, calls: Sequence[ToolCall]) -> Message:
    message = completion.message
    if calls:
        message["tool_calls"] = [call.as_message_part() for call in calls]
    return message


def _read(wanted: Sequence[ToolCall], tools: Sequence[ToolNode]) -> tuple[list[Call], dict[str, str]]:
    """Return the calls that can be made, and by id what is wrong with the others."""
    calls: list[Call] = []
    problems: dict[str, str] = {}
    for call in wanted:
        tool = next((tool for tool in tools if tool.name == call.name.lower()), None)
        if tool is None:
            names = ", ".join(tool.name for tool in tools) or "none at all"
            problems[call.id] = f"There is no tool {call.name[:100]!r}; there is {names}"
            continue
        arguments = _parse(call.arguments)
        problem = _problem_with(arguments, tool)
        if arguments is None or problem is not None:
            problems[call.id] = problem or f"The arguments of {tool.name!r} are no JSON object"
            continue
        values = {str(tool.pin_of(name)): value for name, value in arguments.items()}
        calls.append(Call(call.id, tool.node_id, values))
    return calls, problems


def _parse(arguments: str) -> dict[str, Any] | None:
    try:
        parsed = to_json(json.loads(arguments or "{}"))
    except (ValueError, RecursionError, BlockLimitExceeded):
        return None
    return parsed if isinstance(parsed, dict) else None


def _problem_with(arguments: dict[str, Any] | None, tool: ToolNode) -> str | None:
    if arguments is None:
        return None
    unknown = [name for name in arguments if tool.pin_of(name) is None]
    if unknown:
        known = ", ".join(tool.pins)
        return f"The tool {tool.name!r} has no argument {unknown[0][:100]!r}; it has {known}"
    given = {tool.pin_of(name) for name in arguments}
    missing = [name for name in tool.parameters["required"] if tool.pins[name] not in given]
    return f"The tool {tool.name!r} needs the argument {missing[0]!r}" if missing else None
