"""Parts of the warehouse that need no database."""

from dataclasses import replace

import pytest

from batch.warehouse import checks
from batch.warehouse.checks import CheckResult, FailedCheckError, all_checks, parse
from batch.warehouse.comments import describe
from batch.warehouse.entities import TABLES, is_required
from batch.warehouse.migrate import _checksum, refuse_changed, refuse_other_keys
from batch.warehouse.scripts import FOLDER, scripts, with_key_types
from batch.warehouse.shown import sql_of
from lakehouse.contracts import ENTITIES
from lakehouse.contracts.metrics import BY_NAME
from lakehouse.contracts.model import OnSchemaChange
from lakehouse.errors import StopPipelineError, WrongArgumentError

FILES = {"migrations/0001_a.sql": b"a", "migrations/0002_b.sql": b"b"}
APPLIED = {name: _checksum(text) for name, text in FILES.items()}


def test_unchanged_migrations_pass():
    refuse_changed(FILES, APPLIED | {"comments": "other", "functions/f.sql": "other"})
    refuse_changed({**FILES, "migrations/0003_c.sql": b"c"}, APPLIED)


@pytest.mark.parametrize(
    ("files", "applied", "said"),
    [
        pytest.param({**FILES, "migrations/0001_a.sql": b"x"}, APPLIED,
                     "0001_a.sql was applied to this warehouse and has changed", id="changed"),
        pytest.param({"migrations/0001_a.sql": b"a"}, APPLIED,
                     "0002_b.sql was applied to this warehouse and is gone", id="gone"),
        pytest.param(FILES, {"migrations/0002_b.sql": _checksum(b"b")},
                     "0001_a.sql comes before migrations/0002_b.sql", id="too late"),
    ],
)  # fmt: skip
def test_migration_that_cannot_be_trusted_is_refused(files, applied, said):
    with pytest.raises(StopPipelineError, match=said):
        refuse_changed(files, applied)


@pytest.mark.parametrize("others", [{"order_id"}, {"supplier_id", "product_id", "customer_id"}])
def test_warehouse_made_with_other_types_of_keys_is_refused_by_their_names(others):
    files = dict(scripts("migrations/*.sql"))
    then = {n: _checksum(with_key_types((FOLDER / n).read_bytes(), others)) for n in files}
    with pytest.raises(StopPipelineError) as told:
        refuse_changed(files, then)
    for key in others:
        assert f"{key} was a text, and is an integer now" in str(told.value)
    assert str(told.value).count(" now") == len(others)
    assert all(name in str(told.value) for name in ("MINIO_BUCKET_PREFIX", "WAREHOUSE_DATABASE"))
    assert str(told.value) == told_of(refuse_other_keys, files, then)
    edited = {**then, "migrations/0001_schemas.sql": "other"}
    with pytest.raises(StopPipelineError, match="and has changed since"):
        refuse_changed(files, edited)
    refuse_other_keys(files, edited)


def test_types_of_keys_alone_do_not_depend_on_which_migrations_there_are():
    """A checkout of an older commit lacks some, and has others that come later."""
    files = dict(scripts("migrations/*.sql"))
    applied = {name: _checksum(text) for name, text in files.items()}
    refuse_other_keys(files, {**applied, "migrations/9999_new.sql": "any"})
    (first, *_) = files
    refuse_other_keys(files, {name: one for name, one in applied.items() if name != first})


def told_of(refuse, *given):
    with pytest.raises(StopPipelineError) as told:
        refuse(*given)
    return str(told.value)


def test_checks_are_read_from_a_file():
    first, second = parse(
        "mart/t/checks.sql",
        "-- check: a_b | severity: warn\n-- Why.\nselect 1;\n\n"
        "-- check: c | severity: fail\n-- way out: Do\n-- way out: it.\nselect 2;\n",
    )
    assert (first.name, first.severity, first.way_out) == ("a_b", "warn", "")
    assert first.query.endswith(b"select 1")
    assert (second.name, second.severity, second.way_out) == ("c", "fail", "Do it.")
    assert b"select 1" not in second.query
    assert first.file == second.file == "warehouse_sql/mart/t/checks.sql"


@pytest.mark.parametrize("text", ["select 1", "-- Why.\n-- check: a | severity: fail\nselect 1"])
def test_check_without_header_is_refused(text):
    with pytest.raises(StopPipelineError, match=r"checks/a.sql must begin"):
        parse("checks/a.sql", text)


def test_two_checks_of_one_name_are_refused(monkeypatch):
    text = b"-- check: codes_are_known | severity: warn\nselect 1;"
    monkeypatch.setattr(checks, "scripts", lambda pattern: [(pattern, text)])
    with pytest.raises(StopPipelineError, match="have a check codes_are_known each"):
        all_checks()


def test_generated_checks_read_every_table_that_they_are_about():
    queries = {check.name: check.query.decode() for check in all_checks()}
    for entity in ENTITIES.values():
        for column in entity.counting_unknown:
            assert f"'{column.name}'" in queries["codes_are_known"]
    for name in ("dim_products", "dim_customers"):
        assert f'"mart"."{name}"' in queries["versions_do_not_overlap"]


def test_failed_check_names_itself_and_its_first_rows():
    result = CheckResult(name="totals", severity="fail", offending_rows=2, examples=({"id": 7},))
    other = CheckResult(name="volume", severity="warn", offending_rows=1, examples=())
    message = str(FailedCheckError([result, other]))
    assert 'totals (2 rows, e.g. [{"id": 7}])' in message
    assert "volume" not in message


def test_column_named_as_a_metric_is_described_by_the_dictionary():
    words = describe("fact_transactions", "margin_cents")
    assert words is not None
    assert words.startswith(BY_NAME["margin_cents"].title)


def test_same_name_means_what_its_own_table_says():
    of_order = describe("fact_transactions", "status")
    of_payment = describe("fact_payments", "status")
    assert of_order != of_payment
    assert describe("fact_payments", "nonsense") is None


def test_column_that_silver_may_take_as_absent_is_not_required():
    strict = ENTITIES["orders"]
    evolving = replace(strict, on_removed=OnSchemaChange.EVOLVE)
    required = lambda entity: {f.name for f in entity.fields if is_required(f, entity)}  # noqa: E731
    assert required(strict) >= {"order_id", "status", "placed_at", "placed_date", "placed_month"}
    assert required(evolving) == {"order_id"}


def test_histories_are_keyed_by_key_and_order():
    keys = {table.name: table.key for table in TABLES if table.is_history}
    assert keys == {
        "products_history": ("product_id", "_epoch", "_offset"),
        "customers_history": ("customer_id", "_epoch", "_offset"),
    }


@pytest.mark.parametrize("name", ["products", "public.products", "entity.products", "mart.losses"])
def test_sql_of_a_table_is_shown_whole(name):
    shown = sql_of(name)
    if name == "mart.losses":
        assert "create or replace view mart.losses" in shown
        return
    columns = [column for table in TABLES if table.entity.table == "products"
               for column in table.columns]  # fmt: skip
    assert columns
    assert [column for column in columns if f'"{column}"' not in shown] == []
    assert "comment on column" in shown


@pytest.mark.parametrize("name", ["product", "etl.load", "mart.orders", "entity.losses"])
def test_table_without_sql_is_answered_with_what_was_meant_or_those_that_have(name):
    with pytest.raises(WrongArgumentError) as refused:
        sql_of(name)
    assert str(refused.value).startswith(f"There is no table '{name}'. ")
    assert "Did you mean" in str(refused.value) or "mart.losses" in str(refused.value)
