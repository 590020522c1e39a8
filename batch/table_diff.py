"""Table diff: a table before and after a replay, with the rows that differ."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl

from lakehouse.contracts.model import FIRST_DAY, LAST_DAY
from lakehouse.digest import ROW_HASH, Digest, with_row_hash

EXAMPLES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One row that differs.

    Attributes:
        key: the columns that identify it.
        kind: added, changed or removed.
        columns: values before and after of the columns that differ; empty for a row that was added
            or removed.
    """

    key: dict[str, object]
    kind: str
    columns: dict[str, tuple[object, object]]


@dataclass(kw_only=True)
class Differences:
    """Numbers of differing rows between two states of a table, with examples."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    examples: list[Example] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Return the number of differing rows."""
        return self.added + self.changed + self.removed

    @property
    def more(self) -> int:
        """Return how many of them are not among the examples."""
        return max(0, self.count - len(self.examples))

    def plus(self, other: "Differences") -> "Differences":
        """Return the differences of both."""
        return Differences(
            added=self.added + other.added,
            changed=self.changed + other.changed,
            removed=self.removed + other.removed,
            examples=[*self.examples, *other.examples][:EXAMPLES],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TableDiff:
    """A table before and after a replay. With unchanged code and contracts, nothing differs."""

    layer: str
    table: str
    before: Digest
    after: Digest
    differences: Differences

    @property
    def is_equal(self) -> bool:
        """Return whether the table is unchanged."""
        return self.before == self.after


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Result of a comparison.

    Attributes:
        differing: new rows that are not among the old ones.
        gone: keys of old rows that no longer exist.
        before: digest of the old rows.
        after: digest of the new rows.
    """

    differing: pl.DataFrame
    gone: pl.DataFrame
    before: Digest
    after: Digest


def compare(
    key: Sequence[str], new: pl.DataFrame, old: pl.DataFrame, found: Differences
) -> Compared:
    """Compare two sets of rows, and add their differences to `found`.

    Args:
        key: columns that identify a row.
        new: the new rows.
        old: the old rows, with the columns of `new`.
        found: differences so far.
    """
    keys = list(key)
    stored = with_row_hash(old.lazy()).collect()
    if _are_equal(keys, new, old):
        # Mostly they are equal, and checking that is much cheaper than hashing the new ones, too.
        digest = Digest.of_hashes(stored[ROW_HASH])
        gone = old.clear().select(keys)
        return Compared(differing=new.clear(), gone=gone, before=digest, after=digest)
    fresh = with_row_hash(new.lazy()).collect()
    told = tell_apart(keys, fresh, stored, found)
    room = EXAMPLES - len(found.examples)
    if room > 0:
        was = pl.concat([told.changed, told.gone])
        found.examples += _examples(keys, told.differing, was, room)
    return Compared(
        differing=told.differing.drop(ROW_HASH),
        gone=told.gone.select(keys),
        before=Digest.of_hashes(stored[ROW_HASH]),
        after=Digest.of_hashes(fresh[ROW_HASH]),
    )


def _are_equal(keys: Sequence[str], new: pl.DataFrame, old: pl.DataFrame) -> bool:
    """Return whether they hold the same rows. Another order within a key counts as different."""
    if new.height != old.height:
        return False
    return new.sort(keys).equals(old.select(new.columns).sort(keys))


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldApart:
    """New rows that were changed or added, old rows that these replace, and old rows gone."""

    differing: pl.DataFrame
    changed: pl.DataFrame
    gone: pl.DataFrame


def tell_apart(
    key: Sequence[str], fresh: pl.DataFrame, stored: pl.DataFrame, found: Differences
) -> ToldApart:
    """Add differences to `found`, by keys and by the hashes of rows in the column `ROW_HASH`."""
    keys = list(key)
    same = list(dict.fromkeys([*keys, ROW_HASH]))
    differing = fresh.join(stored.select(same), on=same, how="anti", nulls_equal=True)
    gone = stored.join(fresh.select(keys), on=keys, how="anti", nulls_equal=True)
    changed = stored.join(differing.select(keys), on=keys, how="semi", nulls_equal=True)
    changed_count = changed.select(keys).unique().height
    found.added += differing.height - changed_count
    found.changed += changed_count
    found.removed += gone.height
    return ToldApart(differing=differing, changed=changed, gone=gone)


def _in_words(rows: pl.DataFrame) -> pl.DataFrame:
    """Convert timestamps and days beyond Python's range to text; older rules accepted some."""
    years = (FIRST_DAY.year, LAST_DAY.year)
    beyond = [
        name
        for name, kind in rows.schema.items()
        if isinstance(kind, pl.Datetime | pl.Date)
        and not rows[name].dt.year().is_between(*years).all()
    ]
    return rows.with_columns(pl.col(beyond).cast(pl.String))


def _examples(
    keys: Sequence[str], differing: pl.DataFrame, stored: pl.DataFrame, room: int
) -> Iterator[Example]:
    both = pl.concat([differing.select(keys), stored.select(keys)])
    few = both.unique(maintain_order=True).head(room)
    names = [name for name in differing.columns if name not in (*keys, ROW_HASH)]
    before, after = (
        {
            tuple(row[name] for name in keys): row
            for row in _in_words(frame.join(few, on=keys, how="semi", nulls_equal=True)).iter_rows(
                named=True
            )
        }
        for frame in (stored, differing)
    )
    for key in few.iter_rows():
        old, new = before.get(key), after.get(key)
        kind = "removed" if new is None else "added" if old is None else "changed"
        columns = {} if new is None or old is None else {
            name: (old[name], new[name]) for name in names if old[name] != new[name]
        }  # fmt: skip
        yield Example(key=dict(zip(keys, key, strict=True)), kind=kind, columns=columns)
