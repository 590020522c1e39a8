"""Expressions of a mapping beside the same in SQL, and what a catalog tells about values."""

import polars as pl
import psycopg
import pytest
import yaml

from connectors.mapping import read_values, require_mapping_fits
from connectors.mapping_skeleton import skeleton
from connectors.shop_catalog import catalog_of
from lakehouse.cleaning.expressed import text_of
from lakehouse.contracts.expressions import Reader
from lakehouse.contracts.model import Column, Type
from lakehouse.environment import environment_of
from lakehouse.errors import StopPipelineError
from lakehouse.postgres import warehouse_dsn
from tests.unit.other_shop import MAPPING, read_text

pytestmark = pytest.mark.integration

SHOP = """
create type state as enum ('1', '2', '3', '4');
create table purchase (
    id uuid primary key, state state not null, currency_code text, total_minor bigint,
    tax_minor bigint, postcode text, town text, country_code char(2), ordered_on timestamp,
    kind integer check (kind in (1, 2)), size text check (size in ('big', 'sm''all')),
    way varchar(9) check (way in ('a', 'b]')), grade char(2) check (grade in ('A', 'B')),
    part smallint check (part in (1, 2) and part <> 2),
    side integer check (side in (1, 2)) check (side <> 2),
    stage bigint check (stage between 1 and 3), step smallint check (step > -2 and step < 1),
    share numeric check (share between 1 and 3), "Is it" boolean,
    "My %" integer check ("My %" in (7, 9)),
    word text check (lower(word) in ('a', 'b')), far integer check (abs(far) between 1 and 3)
);
create table purchase_item (
    id uuid primary key, purchase_id uuid, position integer, article_number bigint, pieces integer,
    gross_minor bigint, vat_percent numeric(5, 2), created_on timestamp
);
create table article (
    number bigint primary key, code text, title text, gross_minor bigint, created_on timestamp
);
"""
LOCAL = """
select
    ((extract(epoch from t) * 1000000)::bigint)::text as at_local,
    to_char(t at time zone %(zone)s at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as instant
from
    generate_series(timestamp '2025-03-28', '2025-04-07', '17 minutes 3.000007 seconds') as t
union all
select
    ((extract(epoch from t) * 1000000)::bigint)::text,
    to_char(t at time zone %(zone)s at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
from generate_series(timestamp '2025-10-03', '2025-11-03', '17 minutes') as t"""
NET = """
select
    gross::text,
    percent::text,
    round(gross * 100 / (100 + percent) / 100, 2)::text as net
from
    generate_series(-99999, 99999, 37) as gross
cross join unnest(array[0, 5.5, 7, 8.25, 19, 20, 25]::numeric(5, 2)[]) as percent"""


@pytest.fixture(scope="module")
def dsn(warehouse_server):
    """A database with the tables that the mapping of the unit tests is about."""
    admin = warehouse_dsn(warehouse_server.warehouse, warehouse_server.secrets, role="admin")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("create database other_shop")
        yield psycopg.conninfo.make_conninfo(admin, dbname="other_shop")
        connection.execute("drop database other_shop with (force)")


@pytest.fixture(scope="module")
def other_shop(dsn):
    """A connection to it."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(SHOP)
        yield connection


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_a_local_time_is_postgres_own_also_where_clocks_change(other_shop, zone):
    rows = other_shop.execute(LOCAL, {"zone": zone}).fetchall()
    target = Column(name="at", type=Type.TIMESTAMP, description="")
    read = Reader().read({"local_time": "at_local", "time_zone": zone}, target, ())
    frame = pl.DataFrame(rows, ["at_local", "instant"], orient="row")
    found = frame.with_columns(text_of(read, pl.col, pl.lit(0)).alias("found"))
    assert len(found) > 3_000
    assert found.filter(pl.col("found").ne_missing(pl.col("instant"))).rows() == []


def test_an_amount_without_tax_is_rounded_as_postgres_rounds(other_shop):
    rows = other_shop.execute(NET).fetchall()
    target = Column(name="net", type=Type.CENTS, description="")
    read = Reader().read({"net": {"minor": "gross"}, "tax_percent": "percent"}, target, ())
    frame = pl.DataFrame(rows, ["gross", "percent", "net"], orient="row")
    found = frame.with_columns(text_of(read, pl.col, pl.lit(0)).alias("found"))
    assert len(found) > 10_000
    assert found.filter(pl.col("found").ne_missing(pl.col("net"))).rows() == []


def test_the_catalog_tells_values_and_a_mapping_must_fit_it(other_shop, dsn, tmp_path):
    found = read_text(tmp_path)
    assert read_values(other_shop, found) == {
        ("purchase", "state"): ["1", "2", "3", "4"],
        ("purchase", "kind"): ["1", "2"],
        ("purchase", "size"): ["big", "sm'all"],
        ("purchase", "way"): ["a", "b]"],
        ("purchase", "grade"): ["A", "B"],
        ("purchase", "stage"): ["1", "2", "3"],
        ("purchase", "step"): ["-1", "0"],
        ("purchase", "Is it"): ["true", "false"],
        ("purchase", "My %"): ["7", "9"],
    }
    with environment_of({"CONTRACTS_DIR": str(tmp_path)}):
        require_mapping_fits(dsn)
        read_text(tmp_path, MAPPING.replace("town", "twn"))
        with pytest.raises(StopPipelineError, match=r"no column 'twn'. Did you mean town"):
            require_mapping_fits(dsn)
        read_text(
            tmp_path, MAPPING.replace("town", "twn").replace("table: article", "table: artcl")
        )
        with pytest.raises(StopPipelineError, match=r"no column 'twn'(?s:.*)no table artcl\."):
            require_mapping_fits(dsn)
        read_text(tmp_path)
        for old, new, told in (
            ("tax_cents: {minor: tax_minor}",
             "tax_cents: {tax: {minor: tax_minor}, tax_percent: {case: state, values: {'1': 7, "
             "'2': 7, '3': 7}, otherwise: {case: way, values: {a: 19}}}}",
             r"otherwise: no tax_percent for 'b\]'"),
            ("channel: {constant: web}", "channel: {case: stage, values: {'1': web, '3': phone}}",
             "no channel for '2'"),
            ("{constant: EUR}", "{constant: EURO}", "'EURO' cannot be the currency"),
            ("ship_country: country_code", "ship_country: Is it", "Is it is boolean; ship_country"),
        ):  # fmt: skip
            read_text(tmp_path, MAPPING.replace(old, new))
            with pytest.raises(StopPipelineError, match=told):
                require_mapping_fits(dsn)
        read_text(tmp_path)
        other_shop.execute("alter type state add value '5'")
        with pytest.raises(StopPipelineError, match=r"mapping.yaml:9: .*no status for '5'"):
            require_mapping_fits(dsn)
        (tmp_path / "mapping.yaml").unlink()
        require_mapping_fits("host=nowhere.invalid")


def test_a_mapping_to_begin_with_is_written_from_the_catalog(other_shop, dsn):
    """The key's type, and the columns that the table has under the entity's names, are known."""
    text = skeleton({"orders": "purchase"}, catalog_of(dsn))
    orders = yaml.safe_load(text)["orders"]
    assert (orders["key"], orders["columns"]["order_id"]) == ("text", "id")
    assert "#   purchase: id uuid (key), " in text
