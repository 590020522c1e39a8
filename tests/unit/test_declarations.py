"""Declarations in YAML: whatever is wrong with a file is refused, with file and line."""

import copy
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from batch.warehouse import comments, marts, scripts
from batch.warehouse.marts import Mart, mart
from lakehouse.cleaning.transforms.validate import rule_names
from lakehouse.contracts import declared, gold, metrics
from lakehouse.declarations import read_declaration
from lakehouse.errors import StopPipelineError

CONTRACTS = Path(declared.__file__).parent


def whole_contract(path, table):
    entity = read_declaration(path, declared.CONTRACT, table=table)
    assert rule_names(entity)
    assert entity.key_columns


def whole_mart(path, name):
    one = read_declaration(path, marts._ADAPTER, name=name)
    Mart((mart().described | {name: one}).values())


def reader(model):
    return lambda path, _name: read_declaration(path, model)


FILES = [
    *((path, path.stem, whole_contract) for path in declared.FOLDER.glob("*.yaml")),
    *((path, path.parent.name, whole_mart) for path in scripts.FOLDER.glob("*/*/schema.yaml")),
    *((path, "", reader(comments._OWN)) for path in scripts.FOLDER.glob("*/schema.yaml")),
    (CONTRACTS / "gold.yaml", "", reader(gold._TABLES)),
    (CONTRACTS / "metrics.yaml", "", reader(TypeAdapter(metrics._Dictionary))),
]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates()
VALUES = st.recursive(
    SCALARS, lambda one: st.lists(one, max_size=2) | st.dictionaries(SCALARS, one, max_size=2)
)
FOUND = {path: yaml.safe_load(path.read_text()) for path, _, _ in FILES}


def containers(value):
    """All mappings and lists of a value that have something in them, the outermost first."""
    yield value
    for one in containers_in(value):
        yield from containers(one)


def containers_in(value):
    """Those that are directly in it."""
    parts = value.values() if isinstance(value, dict) else value
    return (one for one in parts if isinstance(one, dict | list) and one)


@st.composite
def mutated(draw):
    """A valid file, and its content with one thing wrong, perhaps."""
    path, name, read = draw(st.sampled_from(FILES))
    content = copy.deepcopy(FOUND[path])
    of = content
    while (inner := [*containers_in(of)]) and draw(st.booleans()):
        of = draw(st.sampled_from(inner))
    key = draw(st.sampled_from([*of] if isinstance(of, dict) else range(len(of))))
    words = st.sampled_from([w for one in containers(content) for w in one if isinstance(w, str)])
    match draw(st.sampled_from(["remove", "replace", "refer", "rename", "repeat"])):
        case "remove":
            del of[key]
        case "replace":
            of[key] = draw(VALUES)
        case "refer":
            of[key] = draw(words)
        case "rename" if isinstance(of, dict):
            of[draw(SCALARS | words)] = of.pop(key)
        case _ if isinstance(of, list):
            of.append(of[key])
    return path, name, read, content


@settings(deadline=None)
@given(mutated())
def test_any_mutation_of_a_file_is_accepted_or_refused_with_file_and_line(mutation):
    path, name, read, content = mutation
    assert_accepted_or_refused(path, name, read, yaml.safe_dump(content, sort_keys=False))


def assert_accepted_or_refused(path, name, read, text):
    """Read a file that has this text."""
    plain = Path.read_bytes
    refused = ""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda p: text.encode() if p == path else plain(p))
        try:
            read(path, name)
        except StopPipelineError as error:
            refused = error.told.problem
    # A cycle has no line: each of its tables may be the wrong one. Nor has a file that a table of
    # another kind would have.
    named = (f"{path.name}:", "need each other", "is missing")
    assert refused == "" or any(words in refused for words in named)


@settings(deadline=None)
@given(st.sampled_from(FILES), st.data())
def test_any_text_is_accepted_or_refused_with_file_and_line(file, data):
    path, name, read = file
    text = path.read_text()
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(start + 20, len(text))))
    put = data.draw(st.text(max_size=5) | st.sampled_from(["&a ", "*a", "<<: *a", "!!int ", "- "]))
    assert_accepted_or_refused(path, name, read, text[:start] + put + text[stop:])
