"""`./pipeline query` on the warehouse: what it reads, and that it only reads."""

import pytest

from batch.lake_sql import QueryError
from batch.warehouse_query import ask_warehouse, is_of_warehouse, readable
from lakehouse.errors import RetryLaterError

pytestmark = pytest.mark.integration
SOME = "select d.date_key from mart.dim_dates as d cross join generate_series(1, 9)"


def test_reader_sees_the_mart_and_is_told_what_there_is(warehouse):
    answer = ask_warehouse(warehouse.reader_dsn, SOME)
    assert (answer.columns, answer.types) == (["date_key"], ["date"])
    assert len(list(answer.rows())) == 9
    assert "mart.dim_products" in readable(warehouse.reader_dsn)
    with pytest.raises(
        QueryError, match=r"(?s)mart\.dim_nothing.*The warehouse has:.*mart\.dim_dates"
    ):
        ask_warehouse(warehouse.reader_dsn, "select * from mart.dim_nothing")


def test_rows_are_read_up_to_a_limit(warehouse):
    answer = ask_warehouse(warehouse.reader_dsn, SOME)
    assert len(list(answer.rows(limit=7))) == 7


@pytest.mark.parametrize(
    "query",
    ["delete from mart.dim_dates", "create table mart.mine (n integer)", "elect 1 from mart.x",
     "select 1 / 0 from mart.dim_dates", "select * from etl.load"],
)  # fmt: skip
def test_query_that_writes_or_is_wrong_is_refused(warehouse, query):
    with pytest.raises(QueryError):
        list(ask_warehouse(warehouse.reader_dsn, query).rows())


def test_warehouse_that_is_away_is_to_be_tried_later():
    away = "host=127.0.0.1 port=1 connect_timeout=1"
    assert readable(away) == []
    with pytest.raises(RetryLaterError, match="The warehouse cannot be queried"):
        ask_warehouse(away, "select 1 from mart.dim_dates")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("select * from mart.dim_dates", True),
        ('select * from MART."dim_dates"', True),
        ("select mart.x from silver.mart", False),
        ("select * from cleaned_sales", False),
        ("select * from silver.cleaned_sales", False),
    ],
)
def test_schema_decides_who_answers(query, expected):
    if query.startswith("select mart"):
        with pytest.raises(QueryError, match=r"the warehouse .* or the lake, not both"):
            is_of_warehouse(query)
    else:
        assert is_of_warehouse(query) == expected
