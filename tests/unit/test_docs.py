"""The documents say what is true."""

import re

import pytest

from lakehouse.settings import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_links_to_is_there(document):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text())
    missing = [link for link in links if not (document.parent / link).exists()]
    assert missing == []


def test_every_test_that_proves_a_promise_exists():
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "SPECS.md").read_text()))
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    existing = set(re.findall(r"def (test_\w+)\(", sources))
    assert len(named) > 30
    assert named - existing == set()


def test_every_command_that_a_document_names_exists():
    from typer.main import get_command

    from lakehouse.cli.__main__ import app

    known = set(get_command(app).commands)
    named = {
        (document.name, word)
        for document in DOCUMENTS
        for word in re.findall(r"\./pipeline ([a-z]+)", document.read_text())
    }
    assert named
    assert {(name, word) for name, word in named if word not in known} == set()
