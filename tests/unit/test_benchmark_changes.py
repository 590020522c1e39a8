"""Changes that benchmarks make, in turns onto the same history."""

import orjson

from benchmarks.consolidation import new_changes
from benchmarks.history import History
from benchmarks.past import Size
from lakehouse.lake import Lake

SIZE = Size(orders=1_000)
TURNS = range(3)


def test_turns_bring_new_orders_and_return_other_old_ones():
    turns = [list(new_changes(SIZE, 1_000, turn=turn)) for turn in TURNS]
    assert {len(changes) for changes in turns} == {1_000}
    affected = [{row["order_id"] for table, _, row in t if table == "orders"} for t in turns]
    assert len(set.union(*affected)) == sum(map(len, affected))
    for table, key in (("order_lines", "order_line_id"), ("stock_movements", "movement_id")):
        keys = [row[key] for t in turns for name, _, row in t if name == table]
        assert len(set(keys)) == len(keys)
        assert min(keys) == SIZE.rows(table) + 1


def test_offsets_of_a_topic_continue_after_the_history_and_over_turns():
    lake = Lake(bronze="", silver="", gold="", options={})
    topic = History(lake=lake, size=SIZE).topics()["orders"]
    stops = dict(topic.ends)
    assert min(stops.values()) > SIZE.orders // 4
    for turn in TURNS:
        changes = [(op, row) for t, op, row in new_changes(SIZE, 1_000, turn=turn) if t == "orders"]
        batch = topic.batch(changes)
        assert {p.partition: r.start for p, r in batch.ranges.items()} == stops
        stops = {p.partition: r.stop for p, r in batch.ranges.items()}
        assert batch.rows.num_rows == len(changes)
        told = [orjson.loads(value)["after"] for value in batch.rows["value"].to_pylist()]
        assert told == [row for _, row in changes]
