"""What the view of the flow shows."""

import io

from rich.console import Console

from cli.live_view import LiveView, draw, in_a_line
from monitoring.demonstration import Picture
from monitoring.flow import Flow, Order, TableFlow, read_metrics

FLOW = Flow(
    slot_lag_bytes=142_464,
    offsets_per_second=455.2,
    tables=(
        TableFlow(
            table="raw_sales", rows=14_937, rows_per_second=144.4, lag_offsets=297,
            freshness_seconds=5.3,
        ),
        TableFlow(
            table="raw_users", rows=1_262, rows_per_second=6.0, lag_offsets=3,
            freshness_seconds=2.0,
        ),
    ),
    orders=(
        Order(order_id=4976, country="FR", channel="web", status="placed", total="57.12 EUR"),
    ),
)  # fmt: skip


def picture(*, seconds=73.0, flow=FLOW):
    return Picture(
        seconds=seconds, orders=3_650, orders_per_second=50.1, rows_per_second=431.0, flow=flow,
        reconciliation="Exact.",
    )  # fmt: skip


def drawn(width=100, **changes):
    console = Console(file=io.StringIO(), width=width)
    console.print(draw(picture(**changes)))
    return console.file.getvalue()


def test_line_tells_rate_and_lag_of_every_hop():
    assert in_a_line(picture()) == (
        "0:01:13 shop 50.1 orders/s, 431 rows/s | Kafka 455 offsets/s, 142.5 kB of WAL behind | "
        "bronze 150 rows/s, 300 offsets behind, 5.3 s old when readable"
    )


def test_picture_shows_tables_orders_and_reconciliation():
    text = drawn()
    for expected in ("raw_sales", "14,937", "4976", "57.12 EUR", "3,650 orders", "Exact."):
        assert expected in text


def test_service_that_does_not_answer_leaves_its_metrics_out():
    assert "Kafka -" in in_a_line(picture(flow=Flow()))
    assert "bronze" in drawn(flow=Flow())


def test_without_a_terminal_there_is_a_line_every_five_seconds():
    console = Console(file=io.StringIO(), width=200)
    with LiveView(console) as view:
        for half_seconds in range(21):
            view.show(picture(seconds=half_seconds / 2))
    assert len(console.file.getvalue().splitlines()) == 3


def test_metrics_are_read_by_name_and_table():
    page = (
        "# TYPE landing_rows counter\n"
        'landing_rows_total{table="raw_sales"} 12.0\n'
        'landing_rows_total{table="raw_users"} 3.0\n'
        "# TYPE landing_paused gauge\n"
        "landing_paused 0.0\n"
    )
    assert read_metrics(page) == {"landing_rows_total": {"raw_sales": 12.0, "raw_users": 3.0}}


def test_partitions_of_a_table_are_added_up():
    page = (
        "# TYPE landing_lag_offsets gauge\n"
        'landing_lag_offsets{partition="0",table="raw_sales"} 12.0\n'
        'landing_lag_offsets{partition="1",table="raw_sales"} 3.0\n'
    )
    assert read_metrics(page) == {"landing_lag_offsets": {"raw_sales": 15.0}}
