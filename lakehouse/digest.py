"""Digest of a table's content: number of rows, and sum of their hashes.

Independent of the order of rows and of the files they are in, so that two states of a table are
equal exactly if their digests are, apart from collisions. A row's hash is xxHash64 of its values
as a JSON object: columns by name, timestamps and days as integers, bytes as hexadecimal digits.
The sum is modulo 2^64. Unlike in a hash of the set of rows, equal rows count twice.
"""

from dataclasses import dataclass

import polars as pl
import polars_hash as plh
from typing_extensions import override

_MODULUS = 2**64
ROW_HASH = "_row_hash"


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """Digest of a table's rows."""

    rows: int = 0
    total: int = 0

    @classmethod
    def of_hashes(cls, hashes: pl.Series) -> "Digest":
        """Sum up rows that have a `ROW_HASH`."""
        return cls(rows=len(hashes), total=int(hashes.sum()) % _MODULUS)

    def plus(self, other: "Digest") -> "Digest":
        """Return the digest of the rows of both."""
        return Digest(rows=self.rows + other.rows, total=(self.total + other.total) % _MODULUS)

    @override
    def __str__(self) -> str:
        """Format as rows and sixteen hexadecimal digits, as shown and stored."""
        return f"{self.rows}:{self.total:016x}"


def digest(rows: pl.LazyFrame) -> Digest:
    """Compute the digest of all rows, a batch at a time."""
    hashed = with_row_hash(rows).select(pl.len().alias("rows"), pl.col(ROW_HASH).sum())
    found = hashed.collect(engine="streaming").row(0)
    return Digest(rows=int(found[0]), total=int(found[1]) % _MODULUS)


def with_row_hash(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Add the column `ROW_HASH` (UInt64)."""
    schema = rows.collect_schema()
    canonical = [_canonical(name, schema[name]) for name in sorted(schema)]
    text = pl.struct(canonical).struct.json_encode()
    return rows.with_columns(text.alias(ROW_HASH)).with_columns(
        plh.col(ROW_HASH).nchash.xxhash64().alias(ROW_HASH)
    )


def _canonical(name: str, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if kind == pl.List(pl.Struct({"key": pl.String, "value": pl.Binary})):
        # Kafka headers.
        element = pl.element()
        told = pl.concat_str(
            element.struct.field("key"),
            pl.lit("="),
            element.struct.field("value").bin.encode("hex").fill_null("null"),
        )
        return column.list.eval(told)
    if isinstance(kind, pl.List):
        (inner,) = pl.Schema({"": kind.inner}).values()
        return column.list.eval(_of_type(pl.element(), inner))
    return _of_type(column, kind)


def _of_type(value: pl.Expr, kind: pl.DataType) -> pl.Expr:
    if kind == pl.Binary:
        return value.bin.encode("hex")
    return value.to_physical() if kind.is_temporal() else value
