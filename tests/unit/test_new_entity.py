"""`./pipeline new entity`: the contract's text is what the catalog says."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from batch.contracts import skeleton, stored
from batch.contracts.skeleton import contract_text, entity_of, entity_without_catalog, file_of
from cli.__main__ import app
from lakehouse.contracts import Type
from lakehouse.contracts.declared import read_contracts
from lakehouse.contracts.files import read_file
from lakehouse.contracts.model import row_times
from lakehouse.errors import RetryLaterError, StopPipelineError, WrongArgumentError
from lakehouse.settings import ROOT
from tests.unit.foreign_maker import catalog_row, modifier

LONG = "Words \"with\" both 'kinds' of \\ quotes \u2013 and a long text, " * 3
COUPONS = [
    catalog_row("coupons", "code", "text", is_required=True, comment="What a customer enters."),
    catalog_row("coupons", "coupon_id", "int8", key=1, declared="bigint", is_required=True),
    catalog_row("coupons", "Worth, net", "numeric", modifier=modifier(12, 2), comment=LONG),
    catalog_row("coupons", "tags", "text", is_array=True, declared="text[]"),
    catalog_row("coupons", "picture", "bytea"),
    catalog_row("coupons", "day", "timestamptz"),
    catalog_row("coupons", "issued_at", "timestamptz", is_required=True),
    catalog_row("coupons", "created_at", "timestamptz", is_required=True),
    catalog_row("coupons", "updated_at", "timestamptz", is_required=True),
    catalog_row("coupons", "version", "int8", is_required=True, table_comment="One row, a code."),
]
CATALOG = {"coupons": COUPONS}


def declared(text, table="coupons"):
    """The contract that a file of a table declares."""
    with TemporaryDirectory() as folder:
        (Path(folder) / f"{table}.yaml").write_text(text)
        return read_contracts(Path(folder))[table]


def test_contract_has_columns_types_nullability_and_key_of_the_catalog():
    found = entity_of("coupons", CATALOG)
    assert [(one.name, one.source, one.type, one.required) for one in found.columns[:-3]] == [
        ("coupon_id", "coupon_id", Type.INTEGER, True),
        ("code", "code", Type.TEXT, True),
        ("worth__net", "Worth, net", Type.DECIMAL, False),
        ("tags", "tags", Type.TEXT, False),
        ("picture", "picture", Type.TEXT, False),
        ("day", "day", Type.TIMESTAMP, False),
        ("issued_at", "issued_at", Type.TIMESTAMP, True),
    ]  # fmt: skip
    assert found.columns[-3:] == row_times()
    assert (found.key, found.as_of, found.partition) == ("coupon_id", "updated_at", "issued_month")
    assert found.column("coupon_id").description == "The shop's column coupon_id: bigint."
    assert found.column("code").description == "What a customer enters."
    assert "Text as Debezium writes it." in found.column("tags").description
    assert (found.column("worth__net").precision, found.column("worth__net").scale) == (12, 2)


def test_text_of_a_contract_declares_it():
    whole = entity_of("coupons", CATALOG)
    bare = entity_of("bare", {"bare": [catalog_row("bare", "id", "int4", key=1)]})
    assert bare.as_of == "_committed_at"
    assert bare.derived == ()
    for entity in (whole, bare, replace(bare, table="few", excluded=("secret",)),
                   replace(bare, table="more", excluded=("secret", "other")),
                   entity_without_catalog("vouchers")):  # fmt: skip
        assert declared(contract_text(entity), entity.table) == entity


@given(st.lists(st.tuples(
    st.text(min_size=1, max_size=63),
    st.sampled_from(["int4", "text", "numeric", "timestamptz", "timestamp", "bytea", "jsonb"]),
    st.text(max_size=300), st.booleans(), st.booleans(),
), unique_by=lambda one: one[0], max_size=8))  # fmt: skip
def test_contract_of_any_table_is_read_from_its_text_as_it_was(columns):
    rows = [catalog_row("any_table", "the id", "int8", key=1)] + [
        catalog_row("any_table", name, kind, comment=said, is_required=is_required,
                    is_array=is_array)
        for name, kind, said, is_required, is_array in columns if name != "the id"
    ]  # fmt: skip
    entity = entity_of("any_table", {"any_table": rows})
    assert declared(contract_text(entity), "any_table") == entity
    assert all(skeleton.NAME.fullmatch(column.name) for column in entity.columns)
    assert len(set(entity.names)) == len(entity.names)


def test_contract_file_is_laid_over_the_catalog(tmp_path):
    file = tmp_path / "coupons.yaml"
    file.write_text(
        "columns:\n  code: {name: phrase, allowed_values: [A, B], on_unknown: count}\n"
        "  picture: {exclude: true}\n"
    )
    entity = entity_of("coupons", CATALOG, read_file(file))
    assert entity.excluded == ("picture",)
    assert entity.column("phrase").allowed_values == ("A", "B")
    assert declared(contract_text(entity)) == entity
    file.write_text("exclude: true")
    with pytest.raises(WrongArgumentError, match=r"excluded by .*coupons\.yaml"):
        entity_of("coupons", CATALOG, read_file(file))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([catalog_row("t", "a", "int4", key=1), catalog_row("t", "b", "int4", key=2)],
         "t is keyed by a, b"),
        ([catalog_row("t", "a", "uuid", key=1)], "t is keyed by a; the warehouse knows rows by"),
        ([catalog_row("t", "a", "int4")], "t has no primary key"),
        ([catalog_row("t", f"c{n}", "int4", key=1 if n == 0 else None) for n in range(1600)],
         "t has 1,600 columns, more than 1,500"),
        ([catalog_row("s", "a", "int4", key=1)], r"no table 't' .* It has s\."),
    ],
)  # fmt: skip
def test_table_that_the_warehouse_cannot_know_is_refused(rows, said):
    with pytest.raises(WrongArgumentError, match=said):
        entity_of("t", {rows[0].table_name: rows})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("returns", r"returns has a contract .* Edit it\."),
        ("Größe", "'Größe' cannot be the name"),
    ],
)
def test_name_that_is_taken_or_impossible_is_refused(name, said):
    with pytest.raises(WrongArgumentError, match=said):
        file_of(name)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(skeleton, "file_of", lambda table: file_of(table, tmp_path))
    monkeypatch.setattr("lakehouse.connections.shop", lambda _role: "")
    return tmp_path


def test_command_writes_the_contract_once(folder, monkeypatch):
    monkeypatch.setattr(stored, "shop_catalog", lambda _dsn: CATALOG)
    done = CliRunner().invoke(app, ["new", "entity", "coupons"])
    assert (done.exit_code, "coupons.yaml written" in done.output) == (0, True)
    written = (folder / "coupons.yaml").read_text()
    assert declared(written) == entity_of("coupons", CATALOG)
    again = CliRunner().invoke(app, ["new", "entity", "coupons"])
    assert isinstance(again.exception, WrongArgumentError)
    assert (folder / "coupons.yaml").read_text() == written


def test_without_the_shop_the_contract_has_a_key_and_the_times_and_says_so(folder, monkeypatch):
    def away(_dsn):
        problem = "The shop does not answer"
        raise RetryLaterError(problem)

    monkeypatch.setattr(stored, "shop_catalog", away)
    done = CliRunner().invoke(app, ["new", "entity", "coupons"])
    assert "The shop does not answer" in done.output
    assert "a key and the bookkeeping columns only" in done.output
    entity = declared((folder / "coupons.yaml").read_text())
    assert entity.names[:4] == ("coupon_id", "created_at", "updated_at", "version")


A = "{name: a, type: integer, description: A.}"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("field: []", r"t\.yaml:6: field: Unexpected .*found \[\]\. .*: remove it"),
        ("columns: 5", r"t\.yaml:5: columns: Input should be a valid tuple, found 5\."),
        (f"columns: [{A}, 5]", r"t\.yaml:5: columns\.1: Input should be .*, found 5\."),
        (f"columns: [{A}, {{name: b, type: text}}]", "5: columns.1.description: Field .*: add it"),
        (f"columns: [{A},\n {A.replace('a', 'A', 1)}]", "6: columns.1.nAme: Unexpected"),
        (f"columns: [{A},\n {A.replace(': a', ': A', 1)}]", "6: columns.1: .*another column A"),
        (f"columns:\n- {A}\n- {A.replace('integer', 'number')}",
         r":7: columns\.1\.type: Input should be 'text', .*, found 'number'\."),
        (f"columns: [{A[:-1]}, minimum: LEAST}}]", "5: columns.0.minimum: .*'LEAST'"),
        (f"columns: [{A[:-1]}, maximum_in_base: 5,\n  rate: e}}]",
         "6: columns.0.rate: there is no column 'e'"),
        ("key: b", r":6: the key key is given twice"),
        ("partition: b_at", "6: partition: there is no column 'b_at'"),
        ("indexed: [[a], [c]]", "6: indexed.1: there is no column 'c'"),
        ("table: s", "6: table: it is 't', by the path, found 's'"),
        ("day: {}", "6: day.of: Field required"),
        ("day: 5", "6: day: Input should be"),
        ("day: {of: b_at, description: B.}", "6: day.of: there is no column before it 'b_at'"),
        ("has_row_times: true\nday: {of: updated, description: B.}\nderived: [5]", "8: derived.0"),
        ("has_row_times: maybe", "6: has_row_times: .* boolean"),
        ("derived:\n- {name: b, type: text, how: month, description: B., inputs: [b]}",
         "7: derived.0: there is no column before it 'b'"),
        ("derived:\n- {name: b, type: text, how: month, description: B., inputs: [a]}",
         "7: derived.0: b cannot be the month of integer"),
        ("rules:\n- {name: r, description: R., holds: a >}", "7: .*r: invalid syntax: a >"),
        ("rules:\n- name: r\n  description: R.\n  holds: b > 1",
         r":9: rules\.0\.holds: there is no column 'b'\. Columns: a"),
        ("rules:\n- {name: r, description: R., holds: a}", "7: .*a is no condition"),
        ("rules:\n- {name: r, description: R., holds: 'a in [1]'}", "7: .*not possible.*in .1"),
        ("partition: \x07", ":6: not YAML: "),
        ("partition: 2026-02-31", ":6: not YAML: day is out of range"),
        ("5: five", ":6: a key is no text"),
        (f"rules: {'[' * 999}{']' * 999}", r"t\.yaml:\d: "),
        (f"rules: [{{name: r, description: R., holds: 'a == {'a + ' * 9999} a'}}]", "t.yaml:1: "),
    ],
)  # fmt: skip
def test_contract_that_is_wrong_is_refused_with_file_and_line(line, said):
    whole = f"silver: cleaned_t\ngrain: g\nkey: a\nas_of: a\ncolumns: [{A}]\n"
    if line.startswith("columns"):
        whole = whole[: whole.index("columns")]
    with pytest.raises(StopPipelineError, match=said):
        declared(f"{whole}{line}\n", "t")


def test_table_of_another_contract_is_refused(tmp_path):
    for name in ("one", "other"):
        text = f"grain: g\nkey: a\nas_of: a\ncolumns: [{A}]\nhistory: h\nsilver: of_{name}\n"
        (tmp_path / f"{name}.yaml").write_text(text)
    with pytest.raises(StopPipelineError, match=r"other\.yaml:5: history: h .*contract of one"):
        read_contracts(tmp_path)


def test_new_contract_is_a_new_file_and_nothing_else(tmp_path):
    shutil.copytree(ROOT / "lakehouse", tmp_path / "lakehouse")
    (tmp_path / "warehouse_sql").symlink_to(ROOT / "warehouse_sql")
    file = tmp_path / "lakehouse" / "contracts" / "shop" / "coupons.yaml"
    file.write_text(contract_text(entity_of("coupons", CATALOG)))
    done = subprocess.run(
        [sys.executable, "-m", "cli", "sql", "show", "coupons"],
        check=False, cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '"worth__net" numeric,' in done.stdout
    assert "comment on column" in done.stdout
