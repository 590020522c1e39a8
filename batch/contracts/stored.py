"""The contracts in effect: those written by hand, and the derived ones as silver stores them.

A derived contract is stored, so that a run does not depend on the shop's database, and so that a
table keeps its names and the columns that the shop has dropped.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson
import polars as pl
from pydantic import TypeAdapter

from batch.contracts.derive import Names, derive, keyless, merged, name_tables
from batch.silver.replace import overwrite
from connectors.shop_catalog import CatalogRow, catalog_of
from lakehouse.contracts import ENTITIES, Entity
from lakehouse.contracts.bronze import bronze_name
from lakehouse.contracts.files import OURS, ContractFile, require_masks_only
from lakehouse.contracts.schemas import CONTRACTS, CONTRACTS_SCHEMA
from lakehouse.delta import open_or_create, retry_later, scan, table_properties
from lakehouse.errors import PipelineError
from lakehouse.lake import Lake

_CONTRACT = TypeAdapter(Entity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A shop table without a contract of its own; `note` says why silver leaves it out."""

    table: str
    contract: Entity | None = None
    note: str = ""

    @property
    def row(self) -> dict[str, str | None]:
        """Return the row of `CONTRACTS_SCHEMA`."""
        row: dict[str, str | None] = {"entity": self.table, "note": self.note or None}
        if self.contract is None:
            return row
        told = _CONTRACT.dump_json(self.contract, exclude_defaults=True).decode()
        return {**row, "silver": self.contract.silver, "contract": told}


def contracts_of(lake: Lake) -> dict[str, Entity]:
    """Return all contracts by the shop's table names: those written by hand, then the derived.

    Raises:
        RetryLaterError: the object store does not answer.
    """
    derived = {one.table: one.contract for one in read_stored(lake) if one.contract is not None}
    return {**ENTITIES, **derived}


def known_contracts(lake: Callable[[], Lake]) -> Mapping[str, Entity]:
    """Return all contracts, to check names with; without a lake only those written by hand."""
    try:
        return contracts_of(lake())
    except PipelineError:
        return ENTITIES


def read_stored(lake: Lake) -> list[Stored]:
    """Return what silver stores about tables without a contract of their own, by name.

    Tables for which one has been written since are left out.
    """
    delta = lake.open("silver", CONTRACTS)
    if delta is None:
        return []
    with retry_later("silver/contracts cannot be read"):
        rows = scan(delta).sort("entity").collect()
    return [
        Stored(
            table=row["entity"],
            contract=row["contract"] and _CONTRACT.validate_json(row["contract"]),
            note=row["note"] or "",
        )
        for row in rows.iter_rows(named=True)
        if row["entity"] not in ENTITIES
    ]


def refresh(
    lake: Lake,
    dsn: str,
    files: Mapping[str, ContractFile],
    *,
    retention_hours: int,
    on_progress: Callable[[str], None] = lambda _what: None,
) -> dict[str, Entity]:
    """Derive the contracts again if the shop answers, store them, and return all contracts.

    Args:
        lake: opened as a user that writes silver.
        dsn: connection to the shop as role `reconcile`.
        files: what the user says about tables, by table.
        retention_hours: how long earlier versions stay.
        on_progress: called with what silver leaves out, and why.

    Raises:
        WrongArgumentError: a file refers to a column that its table does not have, or has more than
            masks of a table with a contract in `lakehouse/contracts/shop/`.
        RetryLaterError: the object store does not answer, or another program refreshes them.
    """
    require_masks_only(files)
    stored = read_stored(lake)
    try:
        catalog = shop_catalog(dsn)
    except PipelineError as error:
        on_progress(f"Contracts of tables without one of their own are as stored: {error}")
        return contracts_of(lake)
    for table in nameless(catalog):
        on_progress(f"{table}: in bronze only: it has the name of an entity, and is not mapped")
    catalog = {n: c for n, c in catalog.items() if n not in ENTITIES}
    fresh = updated(catalog, stored, files, lambda table: _key_in_kafka(lake, table))
    for note in {one.note for one in fresh if one.note}:
        on_progress(note)
    if fresh != stored:
        _store(lake, fresh, retention_hours)
    return {**ENTITIES, **{one.table: one.contract for one in fresh if one.contract}}


def shop_catalog(dsn: str) -> Mapping[str, list[CatalogRow]]:
    """Return the columns of the captured tables that have no contract written by hand.

    Raises:
        RetryLaterError: the database does not answer.
        StopPipelineError: it refuses this role.
    """
    catalog = catalog_of(dsn)
    other = nameless(catalog)
    return {n: c for n, c in catalog.items() if n not in ENTITIES or n in other}


def nameless(catalog: Iterable[str]) -> list[str]:
    """Return the tables without a contract that have the name of an entity, which is not theirs."""
    ours = {one.shop_table for one in ENTITIES.values()}
    return sorted(name for name in catalog if name in ENTITIES and name not in ours)


def updated(
    catalog: Mapping[str, Sequence[CatalogRow]],
    stored: Iterable[Stored],
    files: Mapping[str, ContractFile],
    key_in_kafka: Callable[[str], Sequence[str]],
) -> list[Stored]:
    """Return what is to be stored, by table. Tables that the shop has dropped stay.

    Args:
        catalog: the shop's tables.
        stored: what is stored.
        files: what the user says about tables.
        key_in_kafka: returns the columns of a table's key in Kafka; none without a key.
    """
    known = {one.table: one for one in stored}
    taken = {
        one.table: Names(silver=one.contract.silver, history=one.contract.history or "")
        for one in known.values()
        if one.contract is not None
    }
    names = name_tables(catalog, taken)
    for table, rows in catalog.items():
        key = () if any(row.key_position for row in rows) else key_in_kafka(table)
        new = derive(rows, names[table], key=key)
        if new is None:
            known[table] = Stored(table=table, note=keyless(table))
            continue
        old = known.get(table, Stored(table=table)).contract
        if old is not None:
            # First, since a file may refer to a column that the shop has dropped.
            new = merged(new, old)
        file = files.get(table)
        if file is not None:
            others = [one for name, one in names.items() if name != table]
            new = file.applied(new, OURS.union(*map(_folded, others)))
        if new is None:
            known[table] = Stored(table=table, note=f"{table}: excluded by {file}")
            continue
        names[table] = Names(silver=new.silver, history=new.history or "")
        known[table] = Stored(table=table, contract=new)
    return [known[table] for table in sorted(known)]


def _folded(names: Names) -> set[str]:
    return {names.silver.casefold(), names.history.casefold()}


def _key_in_kafka(lake: Lake, table: str) -> Sequence[str]:
    """Return the columns of Kafka's key: for a table without a primary key, Debezium's choice."""
    delta = lake.open("bronze", bronze_name(table))
    if delta is None:
        return ()
    with retry_later(f"bronze/{bronze_name(table)} cannot be read"):
        keys = scan(delta).select("key").drop_nulls().head(1).collect()["key"]
    try:
        found = orjson.loads(keys[0]) if len(keys) else {}
    except orjson.JSONDecodeError:
        return ()
    return tuple(found) if isinstance(found, dict) else ()


def _store(lake: Lake, fresh: Sequence[Stored], retention_hours: int) -> None:
    with retry_later("silver/contracts cannot be written"):
        delta = open_or_create(
            lake.uri("silver", CONTRACTS),
            lake.options,
            CONTRACTS_SCHEMA,
            properties=table_properties(retention_hours=retention_hours, has_change_feed=False),
        )
        rows = pl.DataFrame([one.row for one in fresh], schema=pl.Schema(CONTRACTS_SCHEMA))
        table = rows.to_arrow().cast(CONTRACTS_SCHEMA)
        overwrite(delta, iter(table.to_batches()), CONTRACTS_SCHEMA)
