"""Record of a missed delete, in Debezium's format, marked as not written by Debezium."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

SYNTHETIC = "synthetic"
"""Field of `source` that Debezium does not use; it names the program that wrote the record."""
_WHEEL = 1 << 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A transaction in the shop's database that found keys missing; deletes are attributed to it.

    `lsn` is a WAL position, as a number; `checked_at` is by the shop's clock.
    """

    tx_id: int
    lsn: int
    checked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """A delete to be written, with the key's original bytes to its original partition.

    Attributes:
        label: the key, for messages.
        key: as in Kafka.
        columns: the key's columns, as Debezium writes them.
        value: the record.
        partition: None if the default partitioner has to choose, as it does for Debezium.
    """

    label: str
    key: bytes
    columns: Mapping[str, Any]
    value: bytes
    partition: int | None


def delete_of(last: Mapping[str, Any], check: Check) -> dict[str, Any]:
    """Return the envelope of a delete.

    Args:
        last: the envelope of the row's last change, which was not a delete.
        check: the transaction that found the row missing.
    """
    microseconds = int(check.checked_at.timestamp() * 1_000_000)
    times = {
        "ts_ms": microseconds // 1000,
        "ts_us": microseconds,
        "ts_ns": microseconds * 1000,
    }
    source = {
        **last["source"],
        **times,
        "snapshot": "false",
        "sequence": None,
        "txId": check.tx_id % _WHEEL,
        "lsn": check.lsn,
        SYNTHETIC: "extract",
    }
    return {
        "before": last["after"],
        "after": None,
        "source": source,
        "transaction": None,
        "op": "d",
        **times,
    }


def without(value: bytes, columns: Collection[str]) -> bytes:
    """Return a change in which these columns of the new row are null.

    For masked columns: a change may be older than the mask, and be written to Kafka once more.
    """
    change = orjson.loads(value)
    change["after"] |= {name: None for name in columns if name in change["after"]}
    return orjson.dumps(change)


def make_delete(
    label: str, key: bytes, value: bytes, *, partition: int | None, check: Check, columns: list[str]
) -> Delete:
    """Create a delete from the key's last record.

    Args:
        label: the key, for messages.
        key: key of that record.
        value: value of that record.
        partition: partition of that record, if the topic is still the same.
        check: the transaction that found the row missing.
        columns: names of the key's columns.
    """
    last = orjson.loads(value)
    return Delete(
        label=label,
        key=key,
        columns={name: last["after"][name] for name in columns},
        value=orjson.dumps(delete_of(last, check)),
        partition=partition,
    )
