"""The type of a key follows from its contract."""

from dataclasses import replace

import pytest

from batch.warehouse.scripts import FOLDER, scripts, with_key_types
from lakehouse.contracts import ENTITIES, Type, keys
from lakehouse.contracts.gold import GOLD_TABLES
from lakehouse.contracts.keys import key_types, of_key_type


def test_keys_that_are_integers_leave_every_file_as_it_is():
    files = [*scripts("**/*.sql")]
    assert len(files) > 100
    assert all(text == (FOLDER / name).read_bytes() for name, text in files)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("order_id bigint not null", "order_id text not null"),
        ("stale /* order_id */ bigint[];", "stale /* order_id */ text[];"),
        ("returns setof /* order_id */ bigint", "returns setof /* order_id */ text"),
        ("supplier_key bigint", "supplier_key text"),
        ("row_key bigint", "row_key text"),
        ("product_id bigint", "product_id bigint"),
        ("order_line_id bigint", "order_line_id bigint"),
        ("orders bigint", "orders bigint"),
        ("returns bigint", "returns bigint"),
    ],
)
def test_sql_has_texts_where_the_key_of_that_name_is_one(given, expected):
    made = with_key_types(given.encode(), ["order_id", "supplier_id"])
    assert made.decode() == expected


def test_columns_that_refer_to_a_key_have_its_type():
    made = keys.with_key_types(ENTITIES, {"orders": Type.TEXT})
    assert key_types(made.values())["order_id"] is Type.TEXT
    assert {made[t].column("order_id").type for t in ("orders", "payments", "returns")} == {"text"}
    assert made["orders"].column("order_id").most_bytes is not None
    assert made["products"] == ENTITIES["products"]
    product = replace(GOLD_TABLES["stock_health"].columns[0], name="similar_product_id")
    assert of_key_type(product, {"product_id": Type.TEXT}).type is Type.TEXT
    assert of_key_type(product, {}) is product
