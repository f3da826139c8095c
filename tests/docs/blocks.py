"""The code blocks of README.md and of all pages of docs/."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))

# A tab of the site, whose content is indented.
_TAB = re.compile(r'^=== ".*"\n((?:(?:    .*)?\n)+)', re.MULTILINE)


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    text: str

    @property
    def first(self) -> str:
        """The first line, by which a table of exceptions names it."""
        return self.text.partition("\n")[0].strip()

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = _TAB.sub(lambda tab: "\n" + textwrap.dedent(tab[1]), page.read_text())
        for token in MarkdownIt().parse(text):
            if token.type in ("fence", "code_block"):
                line = token.map[0] + 1 if token.map else 0
                yield Block(str(page.relative_to(ROOT)), line, token.info.strip(), token.content)


BLOCKS = list(blocks())


def of_page(page: str, language: str, without: frozenset[str] = frozenset()) -> list[Block]:
    """`without`: those that begin so are left out."""
    return [
        block
        for block in BLOCKS
        if (block.page, block.language) == (page, language) and f"{page}: {block.first}" not in without
    ]
