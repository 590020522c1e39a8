"""Declarations of the mart's tables: a wrong one is refused with file and line; order of loads."""

from functools import partial
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.warehouse import affected, scripts
from batch.warehouse.marts import Mart, Sum, View, mart
from lakehouse.errors import StopPipelineError
from lakehouse.version import code_version

FACT = """\
    kind: fact
    grain: One row per refund.
    entity: payments
    date: created_date
    key: [payment_id, date_key]
    affected_by:
    - {entity: orders, through: payments.order_id}
    versions: {dim_customers: created_at}
    reconcile: {from: entity.payments as f, keys: {payment_id: f.payment_id}, values: {}}
    columns:
      why: Its reason.
      weight: {meaning: How heavy it is, unit: grams}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of the declarations, with one more fact."""
    for file in sorted(scripts.FOLDER.glob("*/*/*")):
        copy = tmp_path / file.relative_to(scripts.FOLDER)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    monkeypatch.setattr(scripts, "FOLDER", tmp_path)
    made = tmp_path / "mart" / "fact_refunds"
    made.mkdir()
    (made / "schema.yaml").write_text(dedent(FACT))
    (made / "table.sql").write_text("create table mart.fact_refunds (payment_id bigint);")
    (made / "load.sql").touch()
    return made


def test_fact_is_what_its_folder_says(folder):
    (fact,) = (one for one in mart().facts if one.name == "fact_refunds")
    assert (fact.affected, fact.affected_table, fact.new_table) == (
        ("payment_id",), "affected_payments", "new_refunds",
    )  # fmt: skip
    assert fact.columns["weight"].comment == "How heavy it is, in grams."
    assert fact.columns["why"].comment == "Its reason."


@pytest.mark.parametrize(
    ("line", "instead", "said"),
    [
        (1, "kind: facts", ":1: .*'fact'"),
        (2, "grains: One row.", ":2: fact.grains: Extra .*: remove it"),
        (3, "entity: refunds", ":3: fact.entity: there is no contract 'refunds'"),
        (4, "date: paid_date",
         ":4: fact.date: .* column of payments 'paid_date'"),
        (4, "date: amount_cents", ":4: fact.date: amount_cents of payments is no date"),
        (5, "key: [payment_id]", ":5: fact.key: it must include date_key"),
        (7, "- {entity: orders, through: orders.buyer}",
         ":7: .*through: there is no column of orders 'buyer'"),
        (7, "- {entity: orders, through: order_id}", ":7: .*through"),
        (7, "- {entity: orders, through: order_lines.order_id}", ":7: .*no column of orders"),
        (7, "- {entity: orders, through: payments.order_id, when: {colour: red}}",
         ":7: .*when: there is no column of orders 'colour'"),
        (9, "reconcile: gold", ":9: fact.reconcile"),
        (9, "#", "fact.reconcile: Field required"),
        (10, "kolumns:", ":10: fact.kolumns"),
        (12, "  why: Another.", ":12: the key why is given twice"),
        (12, "  weight: {meaning: How heavy, units: grams}", ":12: .*units"),
        (12, "  Weight: Its own.", ":12: .*Weight"),
        (12, "  weight: [", ":13: not YAML"),
    ],
)  # fmt: skip
def test_wrong_declaration_is_refused_with_file_and_line(folder, line, instead, said):
    file = folder / "schema.yaml"
    lines = file.read_text().splitlines()
    lines[line - 1] = instead
    file.write_text("\n".join(lines))
    with pytest.raises(StopPipelineError, match=rf"mart/fact_refunds/schema\.yaml.*{said}"):
        mart()


def test_reference_to_no_table_is_refused(folder):
    (folder / "table.sql").write_text("… references mart.dim_colours (colour_key) …")
    with pytest.raises(StopPipelineError, match=r"fact_refunds/table\.sql refers to dim_colours"):
        mart()


def test_dimension_that_does_not_exist_is_refused_with_file_and_line(folder):
    file = folder / "schema.yaml"
    file.write_text(file.read_text().replace("dim_customers", "dim_colours"))
    with pytest.raises(StopPipelineError, match=r"schema\.yaml:8: versions: .* dim_colours"):
        mart()


def test_folder_without_its_sql_is_refused(folder):
    (folder / "load.sql").unlink()
    with pytest.raises(StopPipelineError, match=r"fact_refunds/load\.sql is missing"):
        mart()


def test_tables_that_need_each_other_are_refused(folder):
    dates = folder.parent / "dim_dates" / "table.sql"
    dates.write_text("… references mart.fact_refunds (payment_id) …")
    (folder / "table.sql").write_text("… references mart.dim_dates (date_key) …")
    with pytest.raises(StopPipelineError, match=r"need each other: .*fact_refunds"):
        mart()


def test_tables_are_loaded_after_those_that_they_refer_to():
    place = {table.name: number for number, table in enumerate(mart().tables)}
    for table in mart().tables:
        needed = set(table.references)
        if isinstance(table, Sum):
            needed |= {*table.of, *filter(None, [table.affected_as])}
        assert all(place[one] < place[table.name] for one in needed), table.name
    assert place["dim_suppliers"] < place["dim_products"] < place["fact_transactions"]
    assert place["customer_months"] < place["customer_totals"]


@given(st.randoms(use_true_random=False))
def test_order_does_not_depend_on_how_folders_are_listed(random):
    declared = list(mart().described.values())
    shuffled = random.sample(declared, len(declared))
    place = {table.name: number for number, table in enumerate(Mart(shuffled).tables)}
    for table in mart().tables:
        assert all(place[one] < place[table.name] for one in table.references)


def test_every_folder_has_the_files_of_its_kind():
    for one in mart().described.values():
        files = {path.name for path in scripts.FOLDER.glob(f"*/{one.name}/*")}
        # The view of live is made together with the tables that it reads.
        if isinstance(one, View):
            needed = {"view.sql"} if one.name != "live_sales" else set()
        elif isinstance(one, Sum) and one.by_difference:
            needed = {"table.sql"}
        else:
            needed = {"table.sql", "load.sql"}
        assert needed | {"schema.yaml"} <= files, one.name
        assert files <= {"schema.yaml", "table.sql", "load.sql", "checks.sql", "view.sql",
                         "sweep.sql", "affected.sql", "shared.sql"}, one.name  # fmt: skip


def test_rebuild_finds_where_each_sum_inserts_its_rows():
    tables = [one for one in mart().sums if not (one.by_difference or mart().is_summed_up(one))]
    assert len(tables) > 10
    for table in tables:
        text = scripts.script_into(table.file("load.sql"), table.name, "pg_temp.other")
        assert text.count(b"insert into pg_temp.other") == 1
        assert f"into mart.{table.name}".encode() not in text


@pytest.mark.parametrize(
    "insert",
    ["insert into mart.daily_x (a)", "insert into mart.daily_x(a)", "INSERT INTO Mart.Daily_X\n(a)",
     'insert\n into "mart"."daily_x"(a)', 'insert into mart."daily_x" (a)',
     "insert into mart . daily_x as d (a)", "insert into mart.daily_x\nselect 1"],
)  # fmt: skip
def test_rebuild_finds_an_insert_in_any_spelling(folder, insert):
    (folder / "load.sql").write_text(f"-- Grain.\n{insert} …")
    text = scripts.script_into("mart/fact_refunds/load.sql", "daily_x", "pg_temp.other").decode()
    assert text.startswith("-- Grain.\ninsert into pg_temp.other")
    assert "daily_x" not in text.lower()


@pytest.mark.parametrize("insert", ["mart.daily_x2 (a)", 'mart."daily_x"" (a)', "daily_x (a)"])
def test_rebuild_refuses_a_sum_without_its_insert(folder, insert):
    (folder / "load.sql").write_text(f"insert into {insert} …")
    with pytest.raises(
        StopPipelineError, match=r"fact_refunds/load\.sql has no .* mart\.daily_x\."
    ):
        scripts.script_into("mart/fact_refunds/load.sql", "daily_x", "pg_temp.other")


def test_facts_without_a_query_are_compared_with_silver():
    assert {fact.name for fact in mart().facts if fact.reconcile == "silver"} == {
        "fact_transactions", "fact_payments",
    }  # fmt: skip


def test_new_fact_is_in_every_phase_that_its_declaration_is_about(folder):
    def of(phase):
        return "\n".join(one.as_string() for one in phase(mart()))

    assert "'mart.fact_refunds'::regclass" in of(partial(affected.partitions, new=mart().only(())))
    assert "'fact_refunds'" in of(affected.before)
    assert 'create temporary table "affected_payments" on commit drop' in of(affected.before)
    assert 'from "mart"."fact_refunds" as f' in of(affected.everything)
    assert 'inner join "pg_temp"."changed_orders" as c on e."order_id" = c."order_id"' in of(
        affected.after
    )
    assert 'inner join "rekeyed_customers" as m' in of(affected.after)


def test_declaration_decides_a_result_and_is_in_the_version_of_the_code(tmp_path):
    file = Path(tmp_path, "warehouse_sql", "mart", "a", "schema.yaml")
    file.parent.mkdir(parents=True)
    file.write_text("kind: sum")
    before = code_version(tmp_path)
    file.write_text("kind: fact")
    code_version.cache_clear()
    assert code_version(tmp_path) != before
