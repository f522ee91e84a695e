"""Makes the inputs of one block call out of what arrived over links and the node's constants.

The block's own model judges the result; here values are only put together and fitted to the types of the pins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.graph.coercion import pin_type
from app.graph.pins import base_name, fold, is_dynamic
from app.graph.signature import BlockSignature


def bind(
    data: Mapping[str, Any],
    input_default: Mapping[str, Any],
    signature: BlockSignature,
    *,
    mask: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the inputs of one call, by field.

    Dynamic names are folded into their fields and do not appear themselves. A null is left out where the field has a
    default and cannot be null. Fields that the block does not declare are kept only if it takes any.

    Args:
        data: What arrived over links, by pin name. It wins over the constants.
        input_default: The node's constants.
        signature: The block.
        mask: Values that win over both. One of a whole field also removes what leads into that field.

    Raises:
        PinNameInvalid: A dynamic name is impossible, or leads into a value of another kind.
    """
    merged = {**input_default, **data}
    if mask:
        merged = _masked(merged, mask)
    inputs, is_open = signature.inputs, signature.takes_any_input
    dynamic = {name for name in merged if name not in inputs and is_dynamic(name)}
    if dynamic:
        # What a closed block does not declare is dropped before it can get in the way.
        merged = fold({name: value for name, value in merged.items() if is_open or base_name(name) in inputs})
    bound: dict[str, Any] = {}
    for name, value in merged.items():
        pin = inputs.get(name)
        if pin is None:
            if is_open and name not in dynamic:
                bound[name] = value
            continue
        wanted = pin_type(pin.annotation)
        if value is not None:
            bound[name] = wanted.shape.coerce(value)
        elif pin.is_required or wanted.is_nullable:
            bound[name] = None
    return bound


def _masked(merged: Mapping[str, Any], mask: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in merged.items() if base_name(name) not in mask} | dict(mask)
