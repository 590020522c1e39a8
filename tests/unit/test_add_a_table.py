"""docs/ADD_A_TABLE.md, followed word for word: its files, its commands, and what they write."""

import re
import shlex
import shutil
from itertools import pairwise

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from batch.warehouse import marts, scripts
from cli.__main__ import app
from lakehouse.contracts import ENTITIES
from lakehouse.settings import ROOT
from tests.documents import Document

GUIDE = Document(ROOT / "docs" / "ADD_A_TABLE.md")
QUOTED = [block for block in GUIDE.blocks if block.language != "sh"]
SHOWN = [line for block in GUIDE.blocks if block.language == "sh"
         for line in block.text.splitlines()]  # fmt: skip
FILES = re.findall(r"^\| `([^`]+)` \|", GUIDE.text, re.MULTILINE)


def before(block):
    """The text of the guide up to a block."""
    return "\n".join(GUIDE.text.splitlines()[: block.line - 1])


def source_of(block):
    """The file that a block quotes, or its folder: the last one that the text before it names."""
    return re.findall(r"`((?:\w+/)*(?:\w+\.(?:py|sql|yaml))?)`", before(block))[-1]


def parts(text):
    """The parts of a quotation between its ellipses."""
    return [part for part in re.split(r"^…\n", text, flags=re.MULTILINE) if part]


def assert_quotes(block, text):
    """Each part is in the text as it stands, in this order."""
    places = []
    for part in parts(block.text):
        assert f"\n{part}" in f"\n{text}", f"line {block.line}: not there: {part}"
        places.append(text.index(part))
    assert all(first < second for first, second in pairwise(places)), f"line {block.line}"


def is_written(block):
    """Whether a command of the guide writes the file, rather than the checkout having it."""
    return not (ROOT / source_of(block)).is_file()


def test_guide_has_what_it_says():
    assert len(FILES) == 8
    assert [name for name in FILES if not (ROOT / name).is_file()] == []
    assert {path.parent.name for path in ROOT.glob("warehouse_sql/mart/*returns/*")} == {
        "fact_returns"
    }
    assert "returns" in ENTITIES
    assert len(QUOTED) >= 9
    assert sum(map(is_written, QUOTED)) == 3


@pytest.mark.parametrize("line", SHOWN)
def test_each_command_of_the_guide_is_one_with_its_arguments(line):
    program, *words = shlex.split(line)
    assert program == "./pipeline"
    command = get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    assert command.make_context(line, words).args == []


@pytest.mark.parametrize("block", QUOTED, ids=lambda block: f"line {block.line}")
def test_each_quotation_is_what_the_file_says(block):
    if not is_written(block):
        assert_quotes(block, (ROOT / source_of(block)).read_text())


def test_command_for_the_warehouse_writes_what_the_guide_shows(tmp_path, monkeypatch):
    (command,) = (line for line in SHOWN if line.startswith("./pipeline new mart"))
    shutil.copytree(scripts.FOLDER, tmp_path / "sql")
    shutil.rmtree(tmp_path / "sql" / "mart" / "fact_returns")
    monkeypatch.setattr(scripts, "FOLDER", tmp_path / "sql")
    marts._read.cache_clear()
    done = CliRunner().invoke(app, command.split()[1:])
    assert done.exit_code == 0, done.output
    shown = [block for block in QUOTED if "/" not in source_of(block)]
    assert [source_of(block) for block in shown] == ["load.sql", "schema.yaml"]
    for block in shown:
        written = tmp_path / "sql" / "mart" / "fact_returns" / source_of(block)
        assert_quotes(block, written.read_text())
    marts._read.cache_clear()
    assert "fact_returns" in marts.mart().described
