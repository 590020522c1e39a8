"""A new fact and a new sum, declared by their folders alone, are loaded, checked, reconciled."""

import shutil
from textwrap import dedent

import psycopg
import pytest

from batch.data_model import data_model, read_catalogue
from batch.reconcile.history import Examples
from batch.reconcile.sums import compare_sums
from batch.warehouse import bulk, scripts
from batch.warehouse.migrate import migrate, pending
from lakehouse.settings import ROOT
from tests.warehouse import (
    MemorySilver,
    computed_into,
    load_warehouse,
    new_warehouse,
    rebuild_warehouse,
)
from tests.warehouse_history import RandomShop

pytestmark = pytest.mark.integration

CUSTOMER = """\
      case
        when o.order_id is not null and o.customer_id is null then -2
        else coalesce((
          select d.customer_key from mart.dim_customers as d
          where d.customer_id = o.customer_id and d.valid_from_at <= {0}.created_at
          and (d.valid_to_at is null or d.valid_to_at > {0}.created_at)
        ), -1)
      end"""
FACT = {
    "schema.yaml": f"""\
kind: fact
grain: One row per refund.
described_by: [payments, orders]
entity: payments
date: created_date
key: [payment_id, date_key]
affected_by:
- {{entity: orders, through: payments.order_id}}
versions: {{dim_customers: created_at}}
reconcile:
  from: entity.payments as f left join entity.orders as o on f.order_id = o.order_id
  where: f.kind = 'refund'
  keys: {{payment_id: f.payment_id}}
  values:
    order_id: f.order_id
    date_key: f.created_date
    created_at: f.created_at
    customer_id: o.customer_id
    ship_country: o.ship_country
    amount_cents: f.amount_cents
    customer_key: |-
{CUSTOMER.format("f")}
columns:
  date_key: Day of the refund.
  customer_key: The customer as they were at the refund.
""",
    "table.sql": """\
create table mart.fact_refunds (
    payment_id bigint not null,
    order_id bigint not null,
    date_key date not null references mart.dim_dates (date_key),
    customer_key bigint not null references mart.dim_customers (customer_key),
    customer_id bigint,
    created_at timestamptz not null,
    ship_country text,
    amount_cents bigint not null,
    primary key (payment_id, date_key)
) partition by range (date_key);

create table mart.fact_refunds_default partition of mart.fact_refunds default;
create index fact_refunds_order_idx on mart.fact_refunds (order_id);
""",
    "load.sql": f"""\
insert into new_refunds
select
    p.payment_id, p.order_id, p.created_date,
{CUSTOMER.format("p")},
    o.customer_id, p.created_at, o.ship_country, p.amount_cents
from affected_payments as t
inner join entity.payments as p on t.payment_id = p.payment_id
left join entity.orders as o on p.order_id = o.order_id
where p.kind = 'refund';
""",
    "checks.sql": """\
-- check: refunds_are_payments | severity: fail
select f.payment_id from mart.fact_refunds as f where f.amount_cents <= 0;
""",
}
SUM = {
    "schema.yaml": """\
kind: sum
grain: One row per day and country.
of: [fact_refunds]
reconcile:
  from: mart.fact_refunds as f
  keys: {date_key: f.date_key, ship_country: "coalesce(f.ship_country, 'unknown')"}
  values: {refund_cents: sum(f.amount_cents)}
columns:
  date_key: The day.
  ship_country: Country of delivery.
""",
    "table.sql": """\
create table mart.daily_refunds (
    date_key date not null references mart.dim_dates (date_key),
    ship_country text not null,
    refund_cents bigint not null,
    primary key (date_key, ship_country)
);
""",
    "load.sql": """\
insert into "mart"."daily_refunds"(date_key, ship_country, refund_cents)
select f.date_key, coalesce(f.ship_country, 'unknown'), sum(f.amount_cents)
from affected_days as t
inner join mart.fact_refunds as f on t.date_key = f.date_key
where t.fact = 'fact_refunds'
group by 1, 2;
""",
}


@pytest.fixture
def made(warehouse_server, tmp_path, monkeypatch):
    """A warehouse that existed before the two folders."""
    with new_warehouse(warehouse_server) as found:
        shutil.copytree(scripts.FOLDER, tmp_path / "sql")
        monkeypatch.setattr(scripts, "FOLDER", tmp_path / "sql")
        for name, files in (("fact_refunds", FACT), ("daily_refunds", SUM)):
            folder = tmp_path / "sql" / "mart" / name
            folder.mkdir()
            for file, text in files.items():
                (folder / file).write_text(dedent(text))
        yield found


def compared(warehouse):
    with psycopg.connect(warehouse.dsn) as connection:
        reports = compare_sums(connection, Examples(limit=3), is_published=True)
        return {one.table: one.findings for one in reports}


def assert_exact(warehouse):
    found = compared(warehouse)
    assert {table: one.faults for table, one in found.items() if not one.is_exact} == {}


def test_new_tables_need_only_their_folders(made, monkeypatch):
    tables = ["mart/fact_refunds/table.sql", "mart/daily_refunds/table.sql"]
    with psycopg.connect(made.dsn, autocommit=True) as connection:
        assert set(tables) <= set(pending(connection))
    silver = MemorySilver()
    commits = RandomShop(12).commits(12)
    with monkeypatch.context() as before_them:
        before_them.setattr(scripts, "FOLDER", ROOT / "warehouse_sql")
        for commit in commits[:6]:
            silver.commit(**commit)
            load_warehouse(made.dsn, silver)

    done = migrate(made.dsn)
    assert [name for name in done if name in tables] == tables
    assert migrate(made.dsn) == []
    with monkeypatch.context() as of_many_rows:
        of_many_rows.setattr(bulk, "MANY_ROWS", 0)
        computed = computed_into(of_many_rows)
        report = load_warehouse(made.dsn, silver)
    # Other tables have rows, and readers.
    assert computed["fact_refunds"] == ("r", False)
    assert "refunds_are_payments" in {check.name for check in report.checks}
    assert compared(made)["mart.fact_refunds"].rows > 2
    assert_exact(made)
    assert made.rows("mart.fact_refunds_default") == []
    assert load_warehouse(made.dsn, silver).checks == ()

    # A sum that is new by itself.
    made.execute("drop table mart.daily_refunds")
    assert tables[1] in migrate(made.dsn)
    load_warehouse(made.dsn, silver)
    assert compared(made)["mart.daily_refunds"].rows > 2
    assert_exact(made)

    for commit in commits[6:]:
        silver.commit(**commit)
        load_warehouse(made.dsn, silver)
    found = compared(made)
    assert_exact(made)
    assert found["mart.fact_refunds"].rows > 2
    assert found["mart.daily_refunds"].rows > 2

    before = made.rows("mart.fact_refunds")
    made.execute("update mart.fact_refunds set amount_cents = amount_cents + 1, customer_key = -1")
    made.execute("insert into mart.daily_refunds values ('0001-01-01', 'XX', 1)")
    assert not compared(made)["mart.fact_refunds"].is_exact
    rebuild_warehouse(made.dsn, silver)
    assert sorted(made.rows("mart.fact_refunds"), key=str) == sorted(before, key=str)
    assert_exact(made)
    with psycopg.connect(made.reader_dsn) as reader:
        (count,) = reader.execute("select count(*) from mart.fact_refunds").fetchone()
        assert count == len(before)
    document = data_model(read_catalogue(made.dsn))
    assert "### mart.fact_refunds" in document
    assert "Day of the refund." in document
