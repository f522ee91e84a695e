"""Takes the code out of a text in which it stands between fences of three backticks, as language models write it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, PureBlock

FENCE = "```"

_PIN_BY_WORD = {
    word: pin
    for pin, words in {
        "html": "html htm",
        "css": "css",
        "javascript": "javascript js",
        "python": "python py python3",
        "sql": "sql",
        "java": "java",
        "cpp": "cpp c++",
        "csharp": "csharp c# cs",
        "json_code": "json",
        "bash": "bash shell sh",
        "php": "php",
        "ruby": "ruby rb",
        "yaml": "yaml yml",
        "markdown": "markdown md",
        "typescript": "typescript ts",
        "xml": "xml",
    }.items()
    for word in words.split()
}


class CodeExtractionBlock(PureBlock):
    """Take code blocks out of a text, sorted by language.

    Several blocks of one language come as one text, an empty line between them. A block of another language stays
    in the text.
    """

    id = "d3a7d896-3b78-4f44-8b4b-48fbf4f0bcd8"
    categories = (BlockCategory.TEXT,)

    class Input(BlockInput):
        """A text."""

        text: str
        """Code stands between fences, the language after the first."""

    class Output(BlockOutput):
        """The code of each language that occurs, then the rest of the text if there is any."""

        html: str
        """HTML."""
        css: str
        """CSS."""
        javascript: str
        """JavaScript."""
        python: str
        """Python."""
        sql: str
        """SQL."""
        java: str
        """Java."""
        cpp: str
        """C++."""
        csharp: str
        """C#."""
        json_code: str
        """JSON."""
        bash: str
        """Shell scripts."""
        php: str
        """PHP."""
        ruby: str
        """Ruby."""
        yaml: str
        """YAML."""
        markdown: str
        """Markdown."""
        typescript: str
        """TypeScript."""
        xml: str
        """XML."""
        remaining_text: str
        """What is left."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the code by language, then the rest."""
        reading = _Reading()
        for line in given.text.split("\n"):
            reading.take(line)
        reading.end()
        for pin in dict.fromkeys(_PIN_BY_WORD.values()):
            if pin in reading.found:
                yield pin, "\n\n".join(reading.found[pin])
        rest = "\n".join(reading.rest).strip()
        if rest:
            yield "remaining_text", rest


@dataclass(slots=True)
class _Reading:
    found: dict[str, list[str]] = field(default_factory=dict)
    rest: list[str] = field(default_factory=list)
    _pin: str = ""
    _opening: str = ""
    _code: list[str] = field(default_factory=list)

    def take(self, line: str) -> None:
        word = line.strip()
        if self._opening:
            if word == FENCE:
                self._close(line)
            else:
                self._code.append(line)
        elif word.startswith(FENCE) and FENCE not in word[len(FENCE) :]:
            self._opening, self._code = line, []
            self._pin = _PIN_BY_WORD.get(word[len(FENCE) :].strip().lower(), "")
        else:
            self.rest.append(line)

    def end(self) -> None:
        """A fence that is never closed opened nothing."""
        if self._opening:
            self.rest += [self._opening, *self._code]
            self._opening = ""

    def _close(self, line: str) -> None:
        if self._pin:
            self.found.setdefault(self._pin, []).append("\n".join(self._code).strip())
        else:
            self.rest += [self._opening, *self._code, line]
        self._opening = ""
