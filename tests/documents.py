"""What the documents say, cut into parts that can be checked: links, headings, commands, names."""

import re
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lakehouse.settings import ROOT

NOT_RUN = re.compile(r"<!-- not run: (.+?) -->\s*$")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_TICKED = re.compile(r"`([^`\n]+)`")
_SEPARATORS = re.compile(r"\s(?:#|\||&&|>|;)(?:\s|$)|;\s")


@dataclass(frozen=True)
class Block:
    """A fenced block; `not_run` is why a test does not run it, if it does not."""

    language: str
    text: str
    line: int
    not_run: str | None


class Document:
    """One file in Markdown."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text()

    @cached_property
    def prose(self) -> str:
        """All but the blocks."""
        return _FENCE.sub("", self.text)

    @property
    def links(self) -> list[str]:
        """Those to files and headings of ours."""
        return [link for link in _LINK.findall(self.prose) if not link.startswith("http")]

    @property
    def anchors(self) -> set[str]:
        """Of its headings, as they are made for pages."""
        found: dict[str, int] = {}
        anchors = set()
        for heading in _HEADING.findall(self.prose):
            anchor = slug(heading)
            count = found.get(anchor, 0)
            found[anchor] = count + 1
            anchors.add(f"{anchor}-{count}" if count else anchor)
        return anchors

    @property
    def ticked(self) -> list[str]:
        """What stands in backticks."""
        return _TICKED.findall(self.prose)

    @property
    def blocks(self) -> list[Block]:
        """The fenced blocks."""
        found = []
        for match in _FENCE.finditer(self.text):
            before = self.text[: match.start()]
            mark = NOT_RUN.search(before)
            line = before.count("\n") + 1
            found.append(Block(match[1], match[2], line, mark[1] if mark else None))
        return found

    @property
    def commands(self) -> list[list[str]]:
        """The words of each `./pipeline …` that it shows, in backticks or in a block."""
        shown = self.ticked + [line for block in self.blocks for line in block.text.splitlines()]
        return [words for text in shown for words in commands_in(text)]


def slug(heading: str) -> str:
    """The anchor of a heading."""
    plain = re.sub(r"[`*]", "", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def commands_in(text: str) -> list[list[str]]:
    """The words behind each `./pipeline` in a line, up to where the command ends."""
    found = []
    for part in text.split("./pipeline")[1:]:
        command = _SEPARATORS.split(part, maxsplit=1)[0]
        try:
            found.append(shlex.split(command))
        except ValueError:  # a quotation mark that belongs to the sentence
            found.append(command.split())
    return found


def documents() -> list[Document]:
    """All of them."""
    return [Document(path) for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])]
