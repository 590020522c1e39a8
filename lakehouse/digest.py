"""What a table holds, in two numbers: how many rows, and the sum of their hashes.

Independent of the order of rows and of how they lie in files, so that two states of a table are
the same exactly when their digests are, but for a collision. A row's hash is xxHash64 of its values
as a JSON object, columns by name, instants and days as whole numbers, bytes as hexadecimal digits;
the sum is modulo 2^64. Two rows that are alike count twice, as a set's hash would not tell.
"""

from dataclasses import dataclass

import polars as pl
import polars_hash as plh
from typing_extensions import override

_MODULUS = 2**64
ROW_HASH = "_row_hash"


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """Of the rows of a table."""

    rows: int = 0
    total: int = 0

    @classmethod
    def of_hashes(cls, hashes: pl.Series) -> "Digest":
        """Of rows whose `ROW_HASH` is known."""
        return cls(rows=len(hashes), total=int(hashes.sum()) % _MODULUS)

    def plus(self, other: "Digest") -> "Digest":
        """Of the rows of both."""
        return Digest(rows=self.rows + other.rows, total=(self.total + other.total) % _MODULUS)

    @override
    def __str__(self) -> str:
        """As it is shown and kept: rows, and sixteen hexadecimal digits."""
        return f"{self.rows}:{self.total:016x}"


def digest(rows: pl.LazyFrame) -> Digest:
    """Read all rows, a batch at a time."""
    hashed = with_row_hash(rows).select(pl.len().alias("rows"), pl.col(ROW_HASH).sum())
    found = hashed.collect(engine="streaming").row(0)
    return Digest(rows=int(found[0]), total=int(found[1]) % _MODULUS)


def with_row_hash(rows: pl.LazyFrame) -> pl.LazyFrame:
    """With one more column, `ROW_HASH` (UInt64)."""
    schema = rows.collect_schema()
    canonical = [_canonical(name, schema[name]) for name in sorted(schema)]
    text = pl.struct(canonical).struct.json_encode()
    return rows.with_columns(text.alias(ROW_HASH)).with_columns(
        plh.col(ROW_HASH).nchash.xxhash64().alias(ROW_HASH)
    )


def _canonical(name: str, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if kind == pl.Binary:
        return column.bin.encode("hex")
    if kind.is_temporal():
        return column.to_physical()
    if kind == pl.List(pl.Struct({"key": pl.String, "value": pl.Binary})):
        # Kafka's headers.
        element = pl.element()
        told = pl.concat_str(
            element.struct.field("key"),
            pl.lit("="),
            element.struct.field("value").bin.encode("hex").fill_null("null"),
        )
        return column.list.eval(told)
    return column
