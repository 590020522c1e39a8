"""Tables of any shop: their columns as the catalog has them, and their changes in bronze."""

from dataclasses import dataclass
from datetime import timedelta

import orjson

from batch.contracts.derive import derive, name_tables
from connectors.shop_catalog import CatalogRow
from lakehouse.contracts import Entity
from tests.unit.bronze_maker import START, Source


def modifier(precision, scale):
    """Postgres' type modifier of a `numeric`."""
    return ((precision << 16) | (scale & 0x7FF)) + 4


def catalog_row(table, name, type_name, *, key=None, kind="b", declared=None, **more):
    return CatalogRow(
        table_name=table, column_name=name, type_name=type_name, type_kind=kind,
        is_array=more.pop("is_array", False), key_position=key, is_counted=False,
        declared=declared or type_name, **more,
    )  # fmt: skip


def contract_of(rows):
    """The contract of a table that is alone in its shop."""
    table = rows[0].table_name
    return derive(rows, name_tables([table], {})[table])


@dataclass
class ForeignSource(Source):
    """A table with a contract of its own. A row's key is a dictionary of its key's columns."""

    contract: Entity | None = None

    @property
    def entity(self):
        return self.contract

    def change(self, key, op, columns=None, /, **values):
        self.moment += 1
        values |= columns or {}
        known = orjson.dumps(key)
        before = self.rows.pop(known, None)
        after = None if op == "d" else {**(before or {**key, **self.row}), **values}
        if after is not None:
            self.rows[known] = after
        committed = START + timedelta(minutes=self.moment)
        source = {"table": self.table, "lsn": 1000 + self.moment, "txId": self.moment,
                  "ts_us": int(committed.timestamp() * 1e6)}  # fmt: skip
        value = {"before": before, "after": after, "source": source, "op": op}
        return self.keyed(key, orjson.dumps(value))

    def keyed(self, key, value):
        """Any record, in the partition of its key."""
        named = orjson.dumps(key)
        self.record(sum(named), value)
        self.waiting[-1]["key"] = named
        return self


def foreign(lake, contract, row=None, **options):
    """A source of this contract's table; `row` has its columns other than the key's."""
    return ForeignSource(
        lake=lake, table=contract.table, row=row or {}, contract=contract,
        topic_id=contract.table, **options,
    )  # fmt: skip
