"""Rows at the edges of their types, as Debezium writes them, for every contract of the shop.

How the connector spells such values was read from a real one (3.7, streaming and in snapshots).
"""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import orjson

from lakehouse.contracts import ENTITIES, Cleaning, Column, Type
from lakehouse.contracts.model import PLACEHOLDER

BIGGEST = 2**63 - 1
MEGABYTE = 1 << 20


def noise(length: int) -> str:
    """So many bytes that no index can compress."""
    batches = (hashlib.sha256(b"%d" % n).hexdigest() for n in range(length // 64 + 1))
    return "".join(batches)[:length]


INSTANTS = (
    "0000-12-31T23:00:00.000000Z", "0000-12-31T23:59:59.999999Z", "-4712-01-01T00:00:00.000000Z",
    "-4713-11-24T00:00:00.000000Z", "0001-01-01T00:00:00.000000Z", "0001-01-02T12:00:00.000000Z",
    "0001-01-03T00:00:00.000000Z", "1582-10-10T12:00:00.123456Z", "1969-12-31T23:59:59.999999Z",
    "9999-12-30T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z", "+10000-01-01T00:00:00.000000Z",
    "+262142-12-31T23:59:59.999999Z", "+294276-12-31T23:59:59.999999Z", "infinity", "-infinity",
)  # fmt: skip
DAYS = (
    -719_163, -719_162, -2_440_588, 2_932_896, 2_932_897, 2_145_042_905, 2_146_033_979,
    -2_147_472_691, -622_191_234, -625_821_272, 1_002_552, 0, -1,
)  # fmt: skip
INTEGERS = (
    -BIGGEST - 1, BIGGEST, -(2**31), 2**31 - 1, -(2**15), 2**15 - 1, -2, -1, 0, 2**53 + 1,
    str(BIGGEST + 1),
)  # fmt: skip
DECIMALS = (
    "NAN", "POSITIVE_INFINITY", "NEGATIVE_INFINITY", "92233720368547758.07",
    "92233720368547758.08", "-92233720368547758.08", "9223372036854775807",
    "99999999999999999999.99", "1" + "0" * 30, "0." + "0" * 29 + "1", "0.005", "0.00", "-0.01",
    "10000000.00", "10000000.01", "9" * 1000,
)  # fmt: skip
DEGREES = (
    "NAN", "NaN", "Infinity", "-Infinity", "POSITIVE_INFINITY", 1.0e308, 4.9e-324, "-0.000000",
    "90.000000", "90.000001", "-180.000000",
)  # fmt: skip
TEXTS = (
    "", " ", "x", "\0", "a\0b", "\\u0000", "\x01", "\x7f", "\ufffe", "\\ud800", "😀", "e\u0301",
    '"\\.\n', "\\.", "\\N", "NULL", "'", "x,y", "\u2028", PLACEHOLDER,
    noise(MEGABYTE), noise(6_000), noise(400), noise(401), "é" * 200, "é" * 201,
)  # fmt: skip
UNKNOWN = (
    [None, None], [], [[None], [1]], {"a": None}, {}, "\0", "\\u0000", noise(MEGABYTE), BIGGEST,
    "NaN", 1.0e308, -0.0, True, "", "POSITIVE_INFINITY", "infinity",
)  # fmt: skip
OF_TYPE = {
    Type.INTEGER: INTEGERS, Type.CENTS: DECIMALS, Type.RATE: DECIMALS, Type.DEGREES: DEGREES,
    Type.BOOLEAN: (True, False), Type.TIMESTAMP: INSTANTS, Type.DATE: DAYS, Type.TEXT: TEXTS,
}  # fmt: skip
SURROGATE = rb"\ud800"
"""Half a character, as only somebody else than Debezium would write it."""

_PLAIN = {
    Type.TEXT: "x", Type.INTEGER: 1, Type.CENTS: "1.00", Type.RATE: "1.00000000",
    Type.DEGREES: "1.500000", Type.BOOLEAN: True, Type.TIMESTAMP: "2026-03-01T11:00:00.000000Z",
    Type.DATE: 3000,
}  # fmt: skip
_SPELLED = {Cleaning.EMAIL: "ada@example.com", Cleaning.PHONE: "+442079460958",
            Cleaning.COUNTRY: "GB"}  # fmt: skip
_ROWS = {"orders": {"total_amount": "2.00", "base_total_amount": "2.00"},
         "stock_movements": {"kind": "receipt"}}  # fmt: skip


def plain(table: str) -> dict[str, object]:
    """A row of the shop, without its key, that nobody has anything against."""
    entity = ENTITIES[table]
    row = {c.source: _plain(c) for c in entity.columns if c.name != entity.key}
    return row | _ROWS.get(table, {})


def _plain(column: Column) -> object:
    if column.allowed_values:
        return column.allowed_values[0]
    return _SPELLED.get(column.cleaning, _PLAIN[column.type])


@dataclass(frozen=True, kw_only=True)
class Edge:
    """One row: its key and its unusual values; or the record, where it is `written` by others."""

    key: int
    values: dict[str, object] = field(default_factory=dict)
    written: bytes | None = None


def edges(table: str, seed: int, *, more: int) -> Iterator[Edge]:
    """Every value in every column, alone; keys at their own edges; and some rows of several."""
    entity = ENTITIES[table]
    key, rng = 1000, random.Random(seed)
    columns = [column for column in entity.columns if column.name != entity.key]
    for column in columns:
        for value in (None, *OF_TYPE[column.type]):
            yield Edge(key=(key := key + 1), values={column.source: value})
    for value in UNKNOWN:
        yield Edge(key=(key := key + 1), values={"not_in_contract": value})
    for value in (BIGGEST, -BIGGEST - 1, 0, -1, -2):
        yield Edge(key=value)
    for _ in range(more):
        chosen = rng.sample(columns, 3)
        values = {column.source: rng.choice(OF_TYPE[column.type]) for column in chosen}
        yield Edge(key=(key := key + 1), values=values)
    text = next(column.source for column in columns if column.type is Type.TEXT)
    for name in (text, "not_in_contract"):
        row = {entity.key: (key := key + 1)} | plain(table) | {name: "@"}
        source = {"lsn": 1, "txId": 1, "ts_us": 1_772_366_460_000_000}
        value = orjson.dumps({"before": None, "after": row, "source": source, "op": "c"})
        yield Edge(key=key, written=value.replace(b'"@"', b'"' + SURROGATE + b'"'))
    for broken in (b"true", b"%d" % 2**63, b"%d" % -(2**63), b"null", b"1e400"):
        row = orjson.dumps({entity.key: (key := key + 1)} | plain(table))
        source = b'{"lsn":%s,"txId":1,"ts_us":%s}' % (broken, broken)
        value = b'{"before":null,"after":%s,"source":%s,"op":"c"}' % (row, source)
        yield Edge(key=key, written=value)
        gone = b'{"%s":%d}' % (entity.key.encode(), key)
        value = b'{"before":%s,"after":null,"source":%s,"op":"d"}' % (gone, source)
        yield Edge(key=key, written=value)
