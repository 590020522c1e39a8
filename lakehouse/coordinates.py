"""Where a change stands: (topic id, partition, offset), and the watermarks counted in it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from typing_extensions import override

from lakehouse.errors import StopPipelineError

Key = TypeVar("Key")
RAW_NAMES: Mapping[str, str] = {
    "orders": "raw_sales",
    "order_lines": "raw_sale_lines",
    "payments": "raw_payments",
    "customers": "raw_users",
    "products": "raw_products",
    "suppliers": "raw_suppliers",
    "stock_movements": "raw_stock_movements",
    "interactions": "raw_interactions",
}
"""Bronze table of each OLTP table that has a name of its own; any other is `raw_<table>`.

But for a table of the shop that is called as one of these is without `raw_`, such as `users`: that
is `raw_public.users`, since no captured table has a dot in its name.
"""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class TopicPartition:
    """One partition of one incarnation of a topic.

    A topic that is deleted and made again keeps its name and gets another `topic_id`.
    """

    topic: str
    topic_id: str
    partition: int

    @property
    def app_id(self) -> str:
        """Id of this partition's Delta app transaction, which holds its watermark."""
        return kafka_app_id(self.topic_id, self.partition)

    @override
    def __str__(self) -> str:
        """Short form for messages, as in `shop.public.orders[0]`."""
        return f"{self.topic}[{self.partition}]"


def kafka_app_id(topic_id: str, partition: int) -> str:
    """Id of the app transaction in which a bronze table keeps how far it has read Kafka."""
    return f"kafka/{topic_id}/{partition}"


def bronze_app_id(topic_id: str, epoch: int, partition: int) -> str:
    """Id of the app transaction in which a silver table keeps how far it has read bronze."""
    return f"bronze/{topic_id}/{epoch}/{partition}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Positions `start` (inclusive) to `stop` (exclusive) of a partition.

    Offsets are not dense, so a span may hold fewer records than positions, or none.
    """

    start: int
    stop: int

    def __post_init__(self) -> None:
        """Refuse what is not a span."""
        if not 0 <= self.start <= self.stop:
            message = f"not a span of offsets: {self.start} to {self.stop}"
            raise ValueError(message)


def count_positions(spans: Iterable[Span]) -> int:
    """Positions in all of these spans together: no fewer than their records."""
    return sum(span.stop - span.start for span in spans)


def pieces(spans: Mapping[Key, Span], *, positions: int) -> Iterator[dict[Key, Span]]:
    """Cut spans into pieces of about so many positions, in the order of each partition.

    Args:
        spans: by whatever tells partitions apart; empty ones are left out.
        positions: of a piece, all its partitions together.
    """
    left = {key: span for key, span in spans.items() if span.start < span.stop}
    while left:
        step = max(1, positions // len(left))
        piece = {k: Span(start=s.start, stop=min(s.stop, s.start + step)) for k, s in left.items()}
        yield piece
        left = {
            key: Span(start=piece[key].stop, stop=span.stop)
            for key, span in left.items()
            if piece[key].stop < span.stop
        }


def bronze_table(topic: str) -> str:
    """Name of the bronze table for a topic `<prefix>.<schema>.<table>`.

    Raises:
        StopPipelineError: the topic's name has another form.
    """
    parts = topic.rsplit(".", 2)
    if len(parts) != 3 or not all(parts):
        message = (
            f"topic {topic!r} is not named <prefix>.<schema>.<table>. "
            "Land only topics that the Debezium connector writes."
        )
        raise StopPipelineError(message)
    table = parts[2]
    plain = f"raw_{table}"
    is_taken = table not in RAW_NAMES and plain in RAW_NAMES.values()
    return RAW_NAMES.get(table, f"raw_public.{table}" if is_taken else plain)
