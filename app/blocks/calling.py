"""The pure steps around every block call: inputs in, outputs checked, failures named.

Who calls, how often it is tried and where values are kept is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, get_origin

from pydantic import TypeAdapter, ValidationError

from app.blocks.base import Block, BlockInput, Emitted, PureBlock, TimerBlock
from app.blocks.holds import NestedGraphBlock
from app.errors import BlockDisabled, BlockError, BlockInputInvalid, BlockLimitExceeded, BlockOutputInvalid
from app.graph.binding import bind
from app.graph.tools import is_tool_pin
from app.json_values import Json, to_json

ERROR_PIN = "error"
_NAMED_PINS = 5

_BLOCK_FAILURES = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
)
"""What the code of a pure block may raise for inputs that nobody thought of. Anything else is a bug to be seen."""


def prepare(
    block: Block,
    data: Mapping[str, Any],
    input_default: Mapping[str, Any],
    *,
    mask: Mapping[str, Any] | None = None,
) -> BlockInput:
    """Make the inputs of one call.

    Args:
        block: The block to be called.
        data: What arrived over links, by pin name; a name may carry a dynamic suffix. For a nested graph it is left
            out: it belongs to that graph's inputs, whatever they are called.
        input_default: The node's constants.
        mask: Values that win over both.

    Raises:
        BlockDisabled: The block is turned off in this process.
        BlockInputInvalid: A required pin is missing or a value does not fit; the message names the pins, and
            `details.fields` says what is wrong with each.
    """
    if block.off_because:
        raise BlockDisabled(block.off_because)
    if isinstance(block, NestedGraphBlock):
        data = {}
    bound = bind(data, input_default, block.signature, mask=mask)
    try:
        return block.Input.model_validate(bound)
    except ValidationError as error:
        raise _refusal_of(error) from None


def run_pure(block: PureBlock | TimerBlock, given: BlockInput) -> Iterator[tuple[str, Json]]:
    """Run a pure block and yield its outputs, made JSON and checked, as they come.

    Raises:
        BlockError: The block failed, or emitted on its `error` pin.
        BlockLimitExceeded: It reached a limit.
        BlockOutputInvalid: It emitted something that it does not declare.
    """
    for pin, value in _run_guarded(block, given):
        yield pin, check_output(block, pin, value)


def check_output(block: Block, pin: str, value: Any) -> Json:
    """Return what a block emitted as JSON, having checked it against the block's declaration.

    Raises:
        BlockError: The pin is `error`: the block says that it failed.
        BlockOutputInvalid: The block declares no such pin, or the value is not of the pin's type.
        BlockLimitExceeded: The value is nested too deep.
    """
    plain = to_json(value)
    checks = _checks_of(type(block))
    if pin not in checks:
        if pin == ERROR_PIN:
            raise BlockError(plain if isinstance(plain, str) else str(plain))
        is_for_tool = block.signature.calls_tools and is_tool_pin(pin)
        if not block.gives_any_output and not is_for_tool:
            raise BlockOutputInvalid(f"{block.name} emitted on `{pin}`, which it does not declare")
        return plain
    fits = checks[pin]
    if fits is not None and not fits(plain):
        raise BlockOutputInvalid(f"{block.name} emitted a value on `{pin}` that is not of the pin's type")
    return plain


def _run_guarded(block: PureBlock | TimerBlock, given: BlockInput) -> Iterator[Emitted]:
    try:
        yield from block.run(given)
    except BlockError:
        raise
    except RecursionError:
        raise BlockLimitExceeded("The inputs are nested too deep") from None
    except MemoryError:
        raise BlockLimitExceeded("The result would be too large") from None
    except _BLOCK_FAILURES as error:
        # The text of such an error may quote a value, and values may be secret: only its kind is told.
        raise BlockError(f"{block.name} cannot work with these inputs ({type(error).__name__})") from error


def _refusal_of(error: ValidationError) -> BlockInputInvalid:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    named = [
        (".".join(str(part) for part in problem["loc"][:3]), problem["msg"])
        for problem in problems[:_NAMED_PINS]
    ]
    more = len(problems) - len(named)
    message = "; ".join(f"`{pin}`: {problem}" for pin, problem in named)
    return BlockInputInvalid(
        message + (f"; and {more} more" if more else ""), details={"fields": dict(reversed(named))}
    )


@cache
def _checks_of(block_class: type[Block]) -> dict[str, Callable[[Any], bool] | None]:
    return {name: _check_for(field.annotation) for name, field in block_class.Output.model_fields.items()}


def _check_for(annotation: Any) -> Callable[[Any], bool] | None:
    if annotation is Any:
        return None
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)

    def fits(value: Any) -> bool:
        try:
            adapter.validate_python(value)
        except ValidationError:
            return False
        return True

    plain = get_origin(annotation) or annotation
    if plain in (str, bool, int, list, dict) and annotation in (plain, list[Any], dict[str, Any]):
        return lambda value: isinstance(value, plain) or fits(value)
    return fits
