"""A shop in miniature, for tests of reconcile: transactions, what Debezium tells of them, faults.

Each change is a `Change`; `records` makes bronze's rows of them, `csv` the shop's.
"""

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import strategies as st

from batch.reconcile.history import Examples
from batch.reconcile.kinds import kind_of
from batch.reconcile.records import READ_COLUMNS
from batch.reconcile.shop import read_rows
from batch.reconcile.table import Comparison, compare_table
from batch.reconcile.tables import Column, SourceTable
from batch.reconcile.visibility import Visibility
from lakehouse.lake import BRONZE_SCHEMA

NOW_US = 1_800_000_000_000_000
_NOW = datetime.fromtimestamp(NOW_US / 1_000_000, UTC)


def column(name, type_name="text"):
    return Column(name=name, kind=kind_of(type_name, "b", is_array=False))


TABLE = SourceTable(
    name="things",
    key=(column("id", "int8"),),
    columns=(column("id", "int8"), column("v"), column("version", "int8")),
    is_versioned=True,
)
UNVERSIONED = replace(TABLE, is_versioned=False)
KEYLESS = replace(UNVERSIONED, key=())


@dataclass(frozen=True, kw_only=True)
class Change:
    """One record of the table's topic; `commit` numbers transactions in commit order.

    `sent` is when Debezium wrote it; by default, when it was committed.
    """

    commit: int
    op: str
    key: int
    version: int
    value: str
    old_version: int | None = None
    old_value: str | None = None
    is_rekeyed: bool = False
    lsn: int = 0
    partition: int = 0
    offset: int = 0
    xid: int = 0
    sent: int | None = None
    table: str = "things"
    synthetic: str | None = None

    def envelope(self):
        after = {"id": self.key, "v": self.value, "version": self.version}
        before = {"id": self.key, "v": self.old_value, "version": self.old_version}
        return {
            "before": before if self.op in "ud" else None,
            "after": None if self.op == "d" else after,
            "source": {
                "table": self.table,
                "lsn": self.lsn,
                "txId": self.xid % 2**32,
                "ts_us": NOW_US + self.commit,
                "synthetic": self.synthetic,
            },
            "op": self.op,
        }


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A history, and the snapshot that reconcile applies the middle of it."""

    changes: tuple[Change, ...]
    seen_commits: int
    rows: dict[int, tuple[str, int]]
    visibility: Visibility

    def is_seen(self, change):
        return change.commit < self.seen_commits

    def of(self, key):
        """The changes of a key that the snapshot sees."""
        return [c for c in self.changes if c.key == key and self.is_seen(c)]

    def without(self, *gone):
        return replace(self, changes=tuple(c for c in self.changes if c not in gone))

    def plus(self, *more):
        return replace(self, changes=self.changes + more)


@dataclass
class _Writer:
    """Plays transactions against rows, and writes down the changes."""

    rows: dict[int, tuple[str, int]] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    count: int = 0

    def play(self, commit, action, key, other):
        self.count += 1
        value = f"value {self.count}"
        if action == "write":
            self._write(commit, key, value)
        elif action == "delete" and key in self.rows:
            self._delete(commit, key)
        elif action == "move" and key in self.rows and other not in self.rows:
            # The trigger counts on under the new key.
            _, version = self.rows[key]
            self._delete(commit, key)
            self._tell(commit, "c", other, value, version + 1, is_rekeyed=True)
        elif action == "read" and key in self.rows:
            old, version = self.rows[key]
            self._tell(commit, "r", key, old, version)
        elif action == "truncate":
            # Not told: as before there was a trigger for it, or where somebody disabled that.
            self.rows.clear()

    def _write(self, commit, key, value):
        if key in self.rows:
            old, version = self.rows[key]
            self._tell(commit, "u", key, value, version + 1, old_value=old, old_version=version)
        else:
            self._tell(commit, "c", key, value, 1)

    def _delete(self, commit, key):
        old, version = self.rows.pop(key)
        self.changes.append(
            Change(
                commit=commit,
                op="d",
                key=key,
                version=version,
                value=old,
                old_value=old,
                old_version=version,
            )
        )

    def _tell(self, commit, op, key, value, version, **more):
        self.rows[key] = value, version
        self.changes.append(
            Change(commit=commit, op=op, key=key, value=value, version=version, **more)
        )


KEYS = st.integers(1, 4)


@st.composite
def shops(draw, *, actions=("write", "write", "delete", "move", "read")):
    """Histories of a few rows, in transactions that overlap, seen from somewhere in between."""
    action = st.tuples(st.sampled_from(actions), KEYS, KEYS)
    transactions = draw(st.lists(st.lists(action, min_size=1, max_size=4), max_size=12))
    known = draw(st.dictionaries(KEYS, st.integers(1, 5), max_size=2))
    writer = _Writer(rows={key: (f"old {key}", version) for key, version in known.items()})
    for key in known:
        writer.play(0, "read", key, 0)
    seen_commits = draw(st.integers(1, len(transactions) + 1))
    rows = dict(writer.rows)
    for commit, played in enumerate(transactions, start=1):
        for one in played:
            writer.play(commit, *one)
        if commit < seen_commits:
            rows = dict(writer.rows)
    xids = draw(st.permutations(range(len(transactions) + 1)))
    # Close to where 32 bits begin again.
    start = draw(st.sampled_from([1_000, 2**32 - 3, 2**33 + 7]))
    xid_of = [start + n for n in xids]
    seen = set(xid_of[:seen_commits])
    xmax = max(seen) + 1 + draw(st.integers(0, 3))
    return Shop(
        changes=tuple(_placed(draw, writer.changes, xid_of)),
        seen_commits=seen_commits,
        rows=rows,
        visibility=Visibility(
            xmax=xmax,
            in_progress=frozenset(range(start, xmax)) - seen,
            taken_us=NOW_US,
        ),
    )


def _placed(draw, changes, xid_of):
    """Give each change its place: holes between offsets, LSNs that are no order."""
    steps = draw(st.lists(st.integers(1, 3), min_size=len(changes), max_size=len(changes)))
    lsns = draw(st.permutations(range(len(changes))))
    ends = [0, 0]
    for change, step, lsn in zip(changes, steps, lsns, strict=True):
        partition = change.key % 2
        ends[partition] += step
        yield replace(
            change,
            partition=partition,
            offset=ends[partition],
            lsn=1_000 + lsn,
            xid=xid_of[change.commit],
        )


def spread(draw, shop):
    """The same where the table's key was changed: a key's changes move to another partition."""
    moved_at = draw(st.integers(0, len(shop.changes)))
    ends = draw(st.lists(st.integers(0, 9), min_size=2, max_size=2))
    placed = []
    for number, change in enumerate(shop.changes):
        partition = (change.key + (number >= moved_at)) % 2
        ends[partition] += 1
        placed.append(
            replace(change, partition=partition, offset=ends[partition], lsn=1_000 + number)
        )
    return replace(shop, changes=tuple(placed))


def records(changes):
    """Bronze's rows, in one frame for every eight."""
    moved = [{"key": "__debezium.oldkey", "value": b"{}"}]
    rows = [
        {
            "value": json.dumps(change.envelope()).encode(),
            "_topic_id": "topic",
            "_epoch": 0,
            "_partition": change.partition,
            "_offset": change.offset,
            "_timestamp": _NOW + timedelta(milliseconds=change.sent or change.commit),
            "_headers": moved if change.is_rekeyed else None,
        }
        for change in changes
    ]
    schema = pl.DataFrame(schema=pl.Schema(BRONZE_SCHEMA)).select(READ_COLUMNS).schema
    frames = [rows[i : i + 8] for i in range(0, len(rows), 8)]
    return [pl.DataFrame(frame, schema=schema) for frame in frames]


def with_snapshot(draw, shop):
    """The same with a snapshot of Debezium's in the middle, all of whose rows are in one partition.

    It shows the transactions up to some; the table was read later, when more had been committed.
    """
    shown = draw(st.integers(0, shop.seen_commits - 1))
    before = [c for c in shop.changes if c.commit <= shown]
    rows = {}
    for change in before:
        rows[change.key] = change
        if change.op == "d":
            del rows[change.key]
    read_at, partition = draw(st.integers(shown + 1, 99)), draw(st.integers(0, 1))
    of_row = {"op": "r", "commit": read_at, "lsn": 1_050, "old_value": None, "old_version": None}
    read = [replace(c, **of_row) for c in rows.values()]
    ends, placed = [0, 0], []
    for number, change in enumerate([*before, *read, *shop.changes[len(before) :]]):
        into = partition if change in read else draw(st.integers(0, 1))
        ends[into] += 1
        # Several are sent within a millisecond, but not before and after the snapshot began.
        sent = number // 2 + (0 if number < len(before) else 100)
        placed.append(replace(change, partition=into, offset=ends[into], sent=sent + 1))
    return replace(shop, changes=tuple(placed))


def csv(rows, table=TABLE):
    """The shop's rows as `COPY` writes them: a constant, then each column once."""
    quoted = {key: "" if v is None else f'"{v}"' for key, (v, _) in rows.items()}
    lines = [f"1,{key},{quoted[key]},{version}\n" for key, (_, version) in rows.items()]
    return read_rows("".join(lines).encode(), table)


def reconcile(shop, *, table=TABLE, slices=1, losses=()):
    how = Comparison(
        visibility=shop.visibility, slices=slices, examples=Examples(limit=10), losses=losses
    )
    return compare_table(table, [csv(shop.rows, table)], records(shop.changes), how)


def faults(findings):
    """The faults that were found: name to count, and the keys that were named."""
    found = {name: fault.count for name, fault in findings.faults.items() if fault.count}
    keys = {e.split(" ")[0] for fault in findings.faults.values() for e in fault.examples}
    return found, keys
