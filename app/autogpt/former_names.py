"""What ids, inputs and pins were once called. Facts about old files; what is done with them stands elsewhere."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

ADD_TO_LIST = "aeb08fc1-2fc1-4141-bc8e-f758f183a822"
ADD_TO_DICTIONARY = "31d1064e-7446-4693-a7d4-65e5ca1180d1"
COMBINE_TEXTS = "e30a4d42-7b7d-4e6a-b36e-1f9b8e3b7d85"
DROPDOWN = "655d6fdf-a334-421c-b733-520549c07cd1"
FILL_TEMPLATE = "db7d8f02-2f44-4c55-ab7a-eae0941f0c30"
AGENT_EXECUTOR = "e189baac-8c20-45a1-94a7-55177ea42565"

ADDER = "aeb08fc1-2fc1-4141-bc8e-f758f183a812"
"""One block for lists and dictionaries; two took its place."""
DICTIONARY_PINS = frozenset({"dictionary", "key", "value", "updated_dictionary"})
"""Pins that tell the adder of dictionaries from that of lists."""

BLOCK_IDS: Mapping[str, str] = {
    "a1b2c3d4-5e6f-7g8h-9i0j-k1l2m3n4o5p6": "436c3984-57fd-4b85-8e9a-459b356883bd",
    "b2g2c3d4-5e6f-7g8h-9i0j-k1l2m3n4o5p6": "0e50422c-6dee-4145-83d6-3a5a392f65de",
    "c3d4e5f6-7g8h-9i0j-1k2l-m3n4o5p6q7r8": "a0a69be1-4528-491c-a85a-a4ab6873e3f0",
    "c3d4e5f6-g7h8-i9j0-k1l2-m3n4o5p6q7r8": "32a87eab-381e-4dd4-bdb8-4c47151be35a",
    "b2c3d4e5-6f7g-8h9i-0j1k-l2m3n4o5p6q7": "87840993-2053-44b7-8da4-187ad4ee518c",
    "h1i2j3k4-5l6m-7n8o-9p0q-r1s2t3u4v5w6": "d0822ab5-9f8a-44a3-8971-531dd0178b6b",
    "d3f4g5h6-1i2j-3k4l-5m6n-7o8p9q0r1s2t": "df06086a-d5ac-4abb-9996-2ad0acb2eff7",
    "h5e7f8g9-1b2c-3d4e-5f6g-7h8i9j0k1l2m": "f5b0f5d0-1862-4d61-94be-3ad0fa772760",
    "a1234567-89ab-cdef-0123-456789abcdef": "4335878a-394e-4e67-adf2-919877ff49ae",
    "f8e7d6c5-b4a3-2c1d-0e9f-8g7h6i5j4k3l": "f66a3543-28d3-4ab5-8945-9b336371e2ce",
    "b29c1b50-5d0e-4d9f-8f9d-1b0e6fcbf0h2": "716a67b3-6760-42e7-86dc-18645c6e00fc",
    "31d1064e-7446-4693-o7d4-65e5ca9110d1": "cc10ff7b-7753-4ff2-9af6-9399b1a7eddc",
    "c6731acb-4105-4zp1-bc9b-03d0036h370g": "5ebe6768-8e5d-41e3-9134-1c7bd89a8d52",
    "d67a9c52-5e4e-11e2-bcfd-0770200c9c61": "d67a9c52-5e4e-11e2-bcfd-0800200c9a71",
}
"""Ids that blocks had once, and what they have now."""

CONSTANTS: Mapping[str, Mapping[str, str]] = {
    DROPDOWN: {"placeholder_values": "options"},
    AGENT_EXECUTOR: {"data": "inputs"},
}
"""By block: what its inputs were called, and are now."""

_NUMBERED_TEXT = re.compile(r"input([1-9][0-9]?)")

TEMPLATES: Mapping[str, str] = {"prompt": "prompt_values", "sys_prompt": "prompt_values"}
"""Inputs that hold templates, and the input that fills them, of blocks that have both."""


def block_id_now(block_id: str, pins: Collection[str]) -> str:
    """Return the id that a block has now.

    Args:
        block_id: As it stands in the file.
        pins: The pins of the node that links or constants name.
    """
    if block_id == ADDER:
        return ADD_TO_LIST if DICTIONARY_PINS.isdisjoint(pins) else ADD_TO_DICTIONARY
    return BLOCK_IDS.get(block_id, block_id)


def pin_now(block_id: str, name: str, declared: Collection[str]) -> str:
    """Return what an input pin is called now.

    Args:
        block_id: The block.
        name: As it stands in the file.
        declared: The inputs that the block has; none of them is renamed.
    """
    if block_id == COMBINE_TEXTS and name not in declared and (numbered := _NUMBERED_TEXT.fullmatch(name)):
        return f"input_$_{int(numbered[1]) - 1}"
    return name


def constant_now(block_id: str, name: str, declared: Collection[str]) -> str:
    """Return what a constant is called now; arguments as for `pin_now`."""
    if name in declared:
        return name
    return CONSTANTS.get(block_id, {}).get(name) or pin_now(block_id, name, declared)
