"""Recommendations in the warehouse: what a training publishes, and who is gone from it at once."""

from datetime import UTC, datetime

import polars as pl
import psycopg
import pytest

from batch.recommendations.store import publish, write_gold
from batch.warehouse.views import refresh_views
from lakehouse.contracts.gold import TRAINED_TABLES
from tests.unit.gold_shop import LocalSilver
from tests.warehouse import AT, MemorySilver, load_warehouse

pytestmark = pytest.mark.integration

UNTIL = datetime(2026, 3, 1, tzinfo=UTC)
TRAINED = {"model_version": "ease/1", "trained_until_at": UNTIL}


def listed(customer_id, kind, rank, product_id):
    made = {"customer_id": customer_id, "kind": kind, "rank": rank, "product_id": product_id}
    return {**made, "score_millionths": 5, **TRAINED}


def similar(product_id, rank, other, orders):
    made = {"product_id": product_id, "rank": rank, "similar_product_id": other}
    return {**made, "orders_together": orders, "score_millionths": 5, **TRAINED}


def quality(model, **values):
    made = {
        "tested_from_at": UNTIL, "kind": "new_to_you", "model": model, "is_published": False,
        "customers": 3, "recall_basis_points": 1, "ndcg_basis_points": 1,
        "coverage_basis_points": 1, "novelty_centibits": 1,
    }  # fmt: skip
    return {**made, **TRAINED, **values}


@pytest.fixture
def silver(warehouse):
    made = MemorySilver()
    made.commit(
        customers=[{"customer_id": n} for n in (1, 2)],
        products=[
            {"product_id": n, "name": f"product {n}", "sku": sku} for n, sku in ((1, "A"), (2, "B"))
        ],
        orders=[{"order_id": 1, "customer_id": 1, "placed_at": AT}],
        order_lines=[{"order_line_id": 1, "order_id": 1, "product_id": 1}],
    )
    load_warehouse(warehouse.dsn, made)
    return made


@pytest.fixture
def published(warehouse, silver, tmp_path):
    """Return what trains: rows of the tables, written to gold and published."""
    lake = LocalSilver(tmp_path).lake

    def publish_rows(**rows):
        for name, table in TRAINED_TABLES.items():
            write_gold(lake, table, pl.DataFrame(rows[name]), {}, 24)
        publish(lake, warehouse.dsn)

    rows = {
        "recommendations": [
            listed(1, "new_to_you", 1, 2),
            listed(1, "buy_again", 1, 1),
            listed(2, "new_to_you", 1, 2),
        ],
        "similar_products": [similar(1, 1, 2, 3), similar(2, 1, 1, 3)],
        "recommendation_quality": [quality("ease", is_published=True), quality("popularity")],
    }  # fmt: skip
    publish_rows(**rows)
    return lambda **newer: publish_rows(**rows | newer)


def test_mart_has_the_lists_with_names_and_what_is_next_for_each_segment(warehouse, published):
    rows = warehouse.query(
        "select customer_id, kind, rank, product from mart.recommendations order by 1, 2"
    )
    assert rows == [
        (1, "buy_again", 1, "product 1 · A"), (1, "new_to_you", 1, "product 2 · B"),
        (2, "new_to_you", 1, "product 2 · B"),
    ]  # fmt: skip
    pairs = "select product, similar_product, orders_together from mart.similar_products order by 1"
    assert warehouse.query(pairs)[0] == ("product 1 · A", "product 2 · B", 3)
    segments = warehouse.query(
        "select segment, kind, product, customers from mart.segment_recommendations order by 1, 2"
    )
    assert ("no orders", "new_to_you", "product 2 · B", 1) in segments
    assert len(segments) == 3


def test_next_training_replaces_the_lists_and_keeps_the_quality_of_the_last(warehouse, published):
    later = {"trained_until_at": datetime(2026, 3, 2, tzinfo=UTC)}
    newer = [quality("ease", **later), quality("popularity", is_published=True, **later)]
    published(recommendations=[listed(2, "buy_again", 1, 1)], recommendation_quality=newer)
    assert warehouse.query("select customer_id from mart.recommendations") == [(2,)]
    rows = warehouse.query(
        "select model from mart.recommendation_quality where is_latest order by 1"
    )
    assert rows == [("ease",), ("popularity",)]
    assert warehouse.query("select count(*) from mart.recommendation_quality") == [(4,)]


def test_account_that_was_deleted_is_gone_with_the_next_load(warehouse, silver, published):
    silver.commit(customers=[{"customer_id": 1, "_deleted_at": AT}])
    load_warehouse(warehouse.dsn, silver)
    refresh_views(warehouse.dsn)
    assert warehouse.query("select distinct customer_id from mart.recommendations") == [(2,)]
    listed_customers = "select sum(customers) from mart.segment_recommendations"
    assert warehouse.query(listed_customers) == [(1,)]


def test_charts_can_read_them_and_nothing_of_schema_etl(warehouse, published):
    with psycopg.connect(warehouse.reader_dsn) as connection:
        found = connection.execute("select count(*) from mart.recommendations").fetchone()
        assert found == (3,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select from etl.recommendation")
