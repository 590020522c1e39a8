"""The record of a delete that was missed: Debezium's own form, and marked as not of its making."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

SYNTHETIC = "synthetic"
"""Field of `source` that Debezium's own changes do not have; it holds who wrote the record."""
_WHEEL = 1 << 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A transaction of the shop's that found keys gone: the delete is told as if it were its own.

    `lsn` is a WAL position, as a number; `checked_at` the shop's clock.
    """

    tx_id: int
    lsn: int
    checked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """A delete to be written, with the key's own bytes to the key's own partition.

    Attributes:
        label: the key, for a person.
        key: as Kafka has it.
        columns: the key's columns, as Debezium writes them.
        value: the record.
        partition: None where the broker's own rule has to choose, as it does for Debezium.
    """

    label: str
    key: bytes
    columns: Mapping[str, Any]
    value: bytes
    partition: int | None


def delete_of(last: Mapping[str, Any], check: Check) -> dict[str, Any]:
    """The envelope of a delete of a row.

    Args:
        last: the envelope of its last change, which leaves it alive.
        check: who found it gone.
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


def make_delete(
    label: str, key: bytes, value: bytes, *, partition: int | None, check: Check, columns: list[str]
) -> Delete:
    """A delete, from the key's last record.

    Args:
        label: the key, for a person.
        key: of that record.
        value: of that record.
        partition: of that record, if the topic is still the same.
        check: who found the row gone.
        columns: names of the key's.
    """
    last = orjson.loads(value)
    return Delete(
        label=label,
        key=key,
        columns={name: last["after"][name] for name in columns},
        value=orjson.dumps(delete_of(last, check)),
        partition=partition,
    )
