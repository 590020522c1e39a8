"""Changes of a transaction, gathered for bulk statements, happen to each row in their order."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from producers.changes import Changes
from producers.keys import LOW, Keys
from producers.rows import COLUMNS_OF, InteractionRow

NOW = datetime(2026, 11, 24, tzinfo=UTC)
STEPS = st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["status", "paid_at", "both"])))


@given(STEPS)
def test_updates_of_a_row_stay_in_order_and_apart(steps):
    changes, wanted = Changes(), {}
    for number, (key, kind) in enumerate(steps):
        columns = ("status", "paid_at") if kind == "both" else (kind,)
        changes.update("orders", key, **dict.fromkeys(columns, number))
        wanted.setdefault(key, []).append(dict.fromkeys(columns, number))

    found = {}
    for statement in changes.statements:
        keys = [row[0] for row in statement.rows]
        assert len(keys) == len(set(keys))
        for key, *values in statement.rows:
            found.setdefault(key, []).append(dict(zip(statement.columns, values, strict=True)))
    assert found == wanted
    assert changes.count == len(steps)


def test_updates_of_different_rows_share_a_statement():
    changes = Changes()
    for key in range(100):
        changes.update("orders", key, status="paid")
    assert len(changes.statements) == 1


def test_closing_an_account_detaches_orders_after_what_was_done_to_the_account():
    changes = Changes()
    changes.update("customers", 5, city="Lyon")
    changes.close_account(5, NOW)
    assert [(s.kind, s.table) for s in changes.statements] == [
        ("update", "customers"),
        ("detach", "orders"),
        ("delete", "customers"),
    ]


def test_the_order_of_the_same_number_is_not_taken_for_the_account():
    changes = Changes()
    changes.update("orders", 5, status="paid", updated_at=NOW)
    changes.close_account(5, NOW)
    changes.update("orders", 6, status="paid", updated_at=NOW)
    assert len(changes.statements) == 3


def test_rows_go_to_the_table_of_their_shape():
    changes = Changes()
    changes.insert(InteractionRow(1, None, "s", None, "view", "mobile", None, None, NOW, NOW, NOW))
    assert [table for table, rows in changes.inserts.items() if rows] == ["interactions"]


def test_keys_run_low_before_they_run_out():
    keys = Keys()
    for table, count in keys.wanted().items():
        keys.add(table, range(count))
    assert not keys.is_low
    taken = 0
    while not keys.is_low:
        keys.take("orders")
        taken += 1
    assert [keys.take("orders") for _ in range(LOW - 1)]
    assert keys.wanted()["orders"] > taken


def test_only_tables_short_of_keys_ask_for_more_and_for_more_each_time():
    keys, asked = Keys(), []
    for _ in range(12):
        wanted = keys.wanted()
        for table, count in wanted.items():
            keys.add(table, range(count))
        asked.append(wanted["orders"])
        while not keys.is_low:
            keys.take("orders")
    assert set(keys.wanted()) == {"orders"}
    assert asked == sorted(asked)
    assert asked[-1] == asked[-2] < 100_000
    assert set(COLUMNS_OF) == set(Keys().wanted())
