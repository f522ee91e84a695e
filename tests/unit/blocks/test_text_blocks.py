from __future__ import annotations

from typing import Any

import pytest

from app.errors import BlockError, BlockInputInvalid, BlockLimitExceeded
from tests.unit.blocks.calls import call, case, refusal

CODE = """Here is a page:
```html
<p>Hi</p>
```
and a script
```js
let a = 1
```
and another
```JavaScript
let b = 2
```
```c++
int c;
```
```rust
fn main() {}
```
the end"""


def extract(sentence: str, text: str, *emitted: tuple[str, Any]) -> Any:
    return case(sentence, "CodeExtractionBlock", {"text": text}, *emitted)


CASES = [
    case(
        "values of dynamic pins",
        "FillTextTemplateBlock",
        {"values_#_name": "Ada", "values_#_n": 3, "format": "{{name}}: {{ n + 1 }}"},
        ("output", "Ada: 4"),
    ),
    case(
        "a JSON text is a dictionary",
        "FillTextTemplateBlock",
        {"values": '{"a": 1}', "format": "{{a}}"},
        ("output", "1"),
    ),
    case(
        "single braces stay",
        "FillTextTemplateBlock",
        {"values": {"a": 1}, "format": "{a}"},
        ("output", "{a}"),
    ),
    case("plain HTML", "FillTextTemplateBlock", {"values": {"a": "<"}, "format": "{{a}}"}, ("output", "<")),
    case(
        "escaped HTML",
        "FillTextTemplateBlock",
        {"values": {"a": "<"}, "format": "{{a}}", "escape_html": True},
        ("output", "&lt;"),
    ),
    case("joins", "CombineTextsBlock", {"input": ["a", "b"], "delimiter": "-"}, ("output", "a-b")),
    case("joins plainly", "CombineTextsBlock", {"input": ["a", "b"]}, ("output", "ab")),
    case("dynamic pins", "CombineTextsBlock", {"input_$_0": "a", "input_$_1": 2}, ("output", "a2")),
    case(
        "a gap is null as text",
        "CombineTextsBlock",
        {"input_$_0": "a", "input_$_2": "c"},
        ("output", "anullc"),
    ),
    case("one text is a list of one", "CombineTextsBlock", {"input": "a,b"}, ("output", "a,b")),
    case("no texts", "CombineTextsBlock", {"input": []}, ("output", "")),
    case(
        "cuts and trims", "TextSplitBlock", {"text": "a, b ,c", "delimiter": ","}, ("texts", ["a", "b", "c"])
    ),
    case(
        "cuts only",
        "TextSplitBlock",
        {"text": "a, b", "delimiter": ",", "strip": False},
        ("texts", ["a", " b"]),
    ),
    case("no text", "TextSplitBlock", {"text": "", "delimiter": ","}, ("texts", [])),
    case("no delimiter in it", "TextSplitBlock", {"text": "a", "delimiter": ","}, ("texts", ["a"])),
    case(
        "every occurrence",
        "TextReplaceBlock",
        {"text": "a.b.c", "old": ".", "new": "--"},
        ("output", "a--b--c"),
    ),
    case(
        "nothing to replace", "TextReplaceBlock", {"text": "abc", "old": "x", "new": "y"}, ("output", "abc")
    ),
    case("numbers are texts", "TextReplaceBlock", {"text": 121, "old": 1, "new": 3}, ("output", "323")),
    case(
        "counts",
        "WordCharacterCountBlock",
        {"text": "two  words\n"},
        ("word_count", 2),
        ("character_count", 11),
    ),
    case(
        "counts nothing", "WordCharacterCountBlock", {"text": ""}, ("word_count", 0), ("character_count", 0)
    ),
    case("escapes", "TextEncoderBlock", {"text": 'a\n"é€\\'}, ("encoded_text", 'a\\n"\\xe9\\u20ac\\\\')),
    case(
        "half a surrogate pair is an escape",
        "TextEncoderBlock",
        {"text": "\ud800"},
        ("encoded_text", "\\ud800"),
    ),
    case("reads escapes", "TextDecoderBlock", {"text": 'a\\n\\"\\xe9\\u20ac'}, ("decoded_text", 'a\n"é€')),
    case(
        "leaves the rest whole",
        "TextDecoderBlock",
        {"text": "é€\U0001f600\\t"},
        ("decoded_text", "é€\U0001f600\t"),
    ),
    case("a surrogate pair", "TextDecoderBlock", {"text": "\\ud83d\\ude00"}, ("decoded_text", "\U0001f600")),
    case("half a surrogate pair", "TextDecoderBlock", {"text": "\\ud83d"}, ("decoded_text", "\ufffd")),
    case("NUL", "TextDecoderBlock", {"text": "a\\x00b"}, ("decoded_text", "a\x00b")),
    extract(
        "by language, in a fixed order",
        CODE,
        ("html", "<p>Hi</p>"),
        ("javascript", "let a = 1\n\nlet b = 2"),
        ("cpp", "int c;"),
        ("remaining_text", "Here is a page:\nand a script\nand another\n```rust\nfn main() {}\n```\nthe end"),
    ),
    extract("nothing left", "```json\n{}\n```", ("json_code", "{}")),
    extract("no code", "just text", ("remaining_text", "just text")),
    extract("nothing at all", ""),
    extract("a fence that never closes", "```python\na = 1", ("remaining_text", "```python\na = 1")),
    extract("a fence in a line", "use ```x``` here", ("remaining_text", "use ```x``` here")),
    *(
        extract(word, f"```{word}\nx\n```", (pin, "x"))
        for word, pin in {
            "css": "css",
            "py": "python",
            "sql": "sql",
            "java": "java",
            "c#": "csharp",
            "sh": "bash",
            "php": "php",
            "rb": "ruby",
            "yml": "yaml",
            "md": "markdown",
            "ts": "typescript",
            "xml": "xml",
        }.items()
    ),
]

REFUSALS = [
    refusal(
        "an attack", "FillTextTemplateBlock", {"values": {}, "format": "{{ ''.__class__.x }}"}, BlockError
    ),
    refusal(
        "a bomb", "FillTextTemplateBlock", {"values": {}, "format": "{{ 'a' * 10**9 }}"}, BlockLimitExceeded
    ),
    refusal(
        "a syntax error", "FillTextTemplateBlock", {"values": {}, "format": "{{"}, BlockInputInvalid, "line 1"
    ),
    refusal("no values", "FillTextTemplateBlock", {"format": "a"}, BlockInputInvalid, "`values`"),
    refusal(
        "an empty delimiter",
        "TextSplitBlock",
        {"text": "a", "delimiter": ""},
        BlockInputInvalid,
        "`delimiter`",
    ),
    refusal("many pieces", "TextSplitBlock", {"text": "," * 100_000, "delimiter": ","}, BlockLimitExceeded),
    refusal(
        "a text that explodes",
        "TextReplaceBlock",
        {"text": "a" * 10_000, "old": "", "new": "b" * 10_000},
        BlockLimitExceeded,
    ),
    refusal("a long text", "CombineTextsBlock", {"input": ["a" * 6_000_000] * 2}, BlockLimitExceeded),
    refusal("half an escape", "TextDecoderBlock", {"text": "\\x"}, BlockError, "escape"),
    refusal("an unknown character", "TextDecoderBlock", {"text": "\\N{no such name}"}, BlockError, "escape"),
]


@pytest.mark.parametrize(("name", "data", "emitted"), CASES)
def test_it_emits_exactly(name: str, data: dict[str, Any], emitted: list[tuple[str, Any]]) -> None:
    assert call(name, data) == emitted


@pytest.mark.parametrize(("name", "data", "error", "match"), REFUSALS)
def test_it_refuses(name: str, data: dict[str, Any], error: type[BlockError], match: str | None) -> None:
    with pytest.raises(error, match=match):
        call(name, data)


def test_what_is_encoded_can_be_decoded() -> None:
    text = 'all of it: \x00 \t \\ " é € \U0001f600'
    [(_, encoded)] = call("TextEncoderBlock", {"text": text})

    assert encoded.isascii()
    assert call("TextDecoderBlock", {"text": encoded}) == [("decoded_text", text)]
