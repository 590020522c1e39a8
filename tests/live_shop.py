"""A shop's random changes as Kafka would hold them, for tests of the live overlay.

Each table is one topic with one partition. A record's value is silver's row as JSON, so that the
tests need no cleaning; `null` stands for a change that no rule could clean.
"""

import json
import random
from datetime import UTC, datetime

import pyarrow as pa

from consumers.buffer import Batch
from consumers.live.changes import ChangeReader, Rows
from consumers.live.overlay import ChangeSet
from lakehouse.contracts import ENTITIES
from lakehouse.lake import BRONZE_SCHEMA
from lakehouse.offsets import OffsetRange, TopicPartition
from tests.warehouse import AT, BY_SILVER, MemorySilver, silver_row
from tests.warehouse_history import RandomShop

TABLES = {table.name: table for table in BY_SILVER.values()}
VERSIONED = ("products", "customers")


class PlainReader(ChangeReader):
    """Takes rows as they are."""

    def read(self, records: pa.Table) -> Rows:
        table = self.entity.table
        changes = [json.loads(value) for value in records["value"].to_pylist()]
        valid = [row for row in changes if row is not None]
        last = {row[self.entity.key]: row for row in valid}
        versions = _rows(valid, f"{table}_history", self.version_columns)
        return Rows(
            current=_rows(list(last.values()), table, self.columns),
            versions=versions if table == "products" else None,
            quarantined=len(changes) - len(valid),
            committed_us=int(AT.timestamp() * 1e6) if valid else None,
        )


def _rows(rows, name, columns):
    table = TABLES.get(name, TABLES[name.removesuffix("_history")])
    types = {field.name: field.type for field in table.entity.fields} | {"valid_from_at": "instant"}
    return [tuple(_value(row.get(name), types.get(name)) for name in columns) for row in rows]


def _value(value, kind):
    if value is None or kind not in ("instant", "date"):
        return value
    found = datetime.fromisoformat(value)
    return found.date() if kind == "date" else found


def readers():
    """A reader for every table of the shop."""

    class Validator:
        def __init__(self, entity):
            self.entity = entity

    return {name: PlainReader(validator=Validator(entity)) for name, entity in ENTITIES.items()}


class LiveShop:
    """Topics that grow, the silver that follows from any part of them, and what has been read."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.shop = RandomShop(seed)
        self.topics = {name: [] for name in ENTITIES}
        self.quarantined = {}

    def happen(self) -> None:
        """Some more changes."""
        for commit in self.shop.commits(2):
            for table, rows in commit.items():
                if table in self.topics:
                    for row in rows:
                        self.append(table, row, is_valid=self._is_valid())
        for table in VERSIONED:
            for _ in range(self.random.randint(0, 2)):
                maker = self.shop.product if table == "products" else self.shop.customer
                *_, (_, row) = maker()
                kept = {k: v for k, v in row.items() if not k.startswith(("valid_", "_offset"))}
                # The source's instants continue: a version begins when the row was changed.
                kept["updated_at"] = self.shop.instant()
                self.append(table, kept, is_valid=self._is_valid())

    def _is_valid(self):
        return self.random.random() >= 0.1

    def append(self, table, row, *, is_valid=True):
        """One more record."""
        log = self.topics[table]
        values = {**row, "_offset": len(log)}
        made = silver_row(TABLES[table], len(log), values)
        made["_is_deleted"] = made["_deleted_at"] is not None
        if made["_is_deleted"]:
            kept = {ENTITIES[table].key, "_topic_id", "_epoch", "_partition", "_offset",
                    "_is_deleted", "_deleted_at", "_committed_at"}  # fmt: skip
            made = {name: value if name in kept else None for name, value in made.items()}
        began = made["_deleted_at"] or made["updated_at"]
        made["valid_from_at"] = began
        if not is_valid:
            self.quarantined[table, len(log)] = made
        log.append(made if is_valid else None)

    def correct(self, table, offset):
        """A rule was wrong: the record was right all along. The key of its row."""
        row = self.topics[table][offset] = self.quarantined.pop((table, offset))
        return row[ENTITIES[table].key]

    def redrive(self, silver, table, key, stop):
        """Commit to silver the row of a key, as the records before `stop` say it is."""
        *_, last = (
            row for row in self.topics[table][:stop] if row and row[ENTITIES[table].key] == key
        )
        silver.commit(**{table: [_silver(last)]})
        silver[ENTITIES[table].silver].last_offset = stop - 1

    def change_set(self, table, start, stop) -> ChangeSet:
        """What a consumer polls from one position to another."""
        reader = readers()[table]
        records = [
            {"key": b"", "value": json.dumps(row, default=str).encode(), "_topic_id": table,
             "_epoch": 0, "_partition": 0, "_offset": offset, "_timestamp": datetime.now(UTC),
             "_headers": None, "_date": AT.date()}
            for offset, row in enumerate(self.topics[table][start:stop], start)
        ]  # fmt: skip
        rows = pa.Table.from_pylist(records, schema=BRONZE_SCHEMA)
        coordinate = TopicPartition(topic=table, topic_id=table, partition=0)
        batch = Batch(rows=rows, ranges={coordinate: OffsetRange(start=start, stop=stop)})
        return ChangeSet(entity=table, epoch=0, batch=batch, rows=reader.read(rows))

    def bring(self, silver: MemorySilver, have: dict, want: dict) -> None:
        """Commit to silver what these positions add to those."""
        for table, stop in want.items():
            fresh = [row for row in self.topics[table][have.get(table, 0) : stop] if row]
            latest = {row[ENTITIES[table].key]: row for row in fresh}
            commit = {table: [_silver(row) for row in latest.values()]}
            if table in VERSIONED:
                keys = set(latest)
                commit[f"{table}_history"] = self._versions(table, stop, keys)
            silver.commit(**commit)
            for name, source in silver.items():
                if BY_SILVER[name].entity.table == table:
                    source.last_offset = stop - 1

    def _versions(self, table, stop, keys):
        key = ENTITIES[table].key
        found = []
        for one in keys:
            rows = [row for row in self.topics[table][:stop] if row and row[key] == one]
            begun = None
            starts = []
            for row in rows:
                begun = row["valid_from_at"] if begun is None else max(begun, row["valid_from_at"])
                starts.append(begun)
            ends = [*starts[1:], None]
            found += [
                {**_silver(row), "valid_from_at": start, "valid_to_at": end}
                for row, start, end in zip(rows, starts, ends, strict=True)
            ]
        return found


def _silver(row):
    ours = ("_is_deleted", "valid_from_at", "_committed_at")
    return {name: value for name, value in row.items() if name not in ours}
