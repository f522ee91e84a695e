"""A small distribution with blocks, really built and installed into a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

NAME = "Acme.Blocks"
MODULE = "acme_blocks"
CODE = '''
from collections.abc import AsyncIterator, Iterator

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, PureBlock, RemoteBlock
from app.blocks.context import BlockContext


class ShoutBlock(PureBlock):
    """Say a text aloud."""

    id = "4d0a7b58-5a0c-4f6e-8f0e-0a3f6f6a1c01"
    categories = (BlockCategory.TEXT,)

    class Input(BlockInput):
        """What to say."""

        text: str

    class Output(BlockOutput):
        """What was said."""

        said: str

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the text in capitals."""
        yield "said", given.text.upper()


class WhisperBlock(RemoteBlock):
    """Say a text softly, far away."""

    id = "4d0a7b58-5a0c-4f6e-8f0e-0a3f6f6a1c02"
    categories = (BlockCategory.TEXT,)
    Input = ShoutBlock.Input
    Output = ShoutBlock.Output

    async def run(self, given: ShoutBlock.Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Emit the text in small letters."""
        yield "said", given.text.lower()


BLOCKS = [ShoutBlock, WhisperBlock]
'''

_PROJECT = f"""
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "{NAME}"
version = "1.0"

[project.entry-points."perdure.blocks"]
all = "{MODULE}:BLOCKS"

[tool.setuptools]
py-modules = ["{MODULE}"]
"""


def install_package(folder: Path) -> Path:
    """Build the distribution and install it; return the folder that Python is to look in."""
    source, target = folder / "source", folder / "installed"
    source.mkdir(parents=True)
    (source / f"{MODULE}.py").write_text(CODE)
    (source / "pyproject.toml").write_text(_PROJECT)
    # Not compiled: a test that rewrites the module within the second would get the old one.
    options = ["--quiet", "--no-compile", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(source)],
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        check=True,
    )
    return target
