"""Checks of the lake: guarantees of the object store, and tables against the contracts."""

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from batch.catalogue import LakeTable
from batch.contracts.stored import contracts_of
from consumers.bronze.conformance import require_conditional_put, require_consistent_listing
from lakehouse.contracts import Entity
from lakehouse.contracts.gold import GOLD_TABLES, TRAINED_TABLES
from lakehouse.contracts.schemas import (
    CONTRACTS,
    CONTRACTS_SCHEMA,
    QUARANTINE,
    QUARANTINE_SCHEMA,
    RULE_COUNTS,
    RULE_COUNTS_SCHEMA,
    gold_schema,
    history_schema,
    silver_schema,
)
from lakehouse.errors import StopPipelineError
from lakehouse.lake import BRONZE_SCHEMA, LOSS_LEDGER, LOSS_LEDGER_SCHEMA
from lakehouse.object_store import object_store
from stack.doctor.measurements import Measurements
from stack.doctor.model import Check
from stack.findings import Said, fine, note, wrong, wrong_as_told


def _store(measurements: Measurements) -> Sequence[Said]:
    minio = measurements.config.minio
    said = []
    for user, bucket in (("lander", minio.bronze_bucket), ("batch", minio.silver_bucket)):
        client = object_store(minio, measurements.secrets, user=user)
        try:
            require_conditional_put(client, bucket)
            require_consistent_listing(client, bucket)
        except StopPipelineError as error:
            said.append(wrong_as_told(error.told))
    return said or [fine("conditional writes work; writes and deletes are visible at once")]


def _tables(measurements: Measurements) -> Sequence[Said]:
    opened = measurements.deltas.items()
    found = {table: pa.schema(delta.schema().to_arrow()) for table, delta in opened}
    return diagnose_tables(found, contracted(contracts_of(measurements.lake).values()))


def contracted(entities: Iterable[Entity]) -> dict[LakeTable, pa.Schema]:
    """Return the schemas of silver's and gold's tables according to the contracts."""
    found = {
        LakeTable(layer="silver", name=CONTRACTS): CONTRACTS_SCHEMA,
        LakeTable(layer="silver", name=QUARANTINE): QUARANTINE_SCHEMA,
        LakeTable(layer="silver", name=RULE_COUNTS): RULE_COUNTS_SCHEMA,
        LakeTable(layer="bronze", name=LOSS_LEDGER): LOSS_LEDGER_SCHEMA,
    }
    for entity in entities:
        found[LakeTable(layer="silver", name=entity.silver)] = silver_schema(entity)
        if entity.history:
            found[LakeTable(layer="silver", name=entity.history)] = history_schema(entity)
    for table in (*GOLD_TABLES.values(), *TRAINED_TABLES.values()):
        found[LakeTable(layer="gold", name=table.name)] = gold_schema(table)
    return found


def diagnose_tables(
    found: Mapping[LakeTable, pa.Schema], wanted: Mapping[LakeTable, pa.Schema]
) -> Sequence[Said]:
    """Diagnose whether each table has the columns of its contract. All bronze tables share one."""
    said = []
    for table, schema in found.items():
        contract = wanted.get(table, BRONZE_SCHEMA if table.layer == "bronze" else None)
        if contract is None:
            said.append(note(f"{table} has no contract: nothing writes or reads it", ""))
            continue
        told = differences(schema, contract)
        if told:
            remedy = f"./pipeline rebuild --layer {table.layer}"
            if table.layer == "bronze":
                remedy = "restore it from a backup: bronze cannot be rebuilt"
            said.append(wrong(f"{table}: {'; '.join(told)}", remedy))
    return said or [fine(f"{len(found)} tables match their contracts")]


def differences(has: pa.Schema, wanted: pa.Schema) -> list[str]:
    """Return columns that are missing, have another type, or are in no contract."""
    types = {field.name: _plain(field.type) for field in has}
    told = []
    for field in wanted:
        if field.name not in types:
            told.append(f"no column {field.name}")
        elif types[field.name] != _plain(field.type):
            told.append(f"{field.name} is {types[field.name]}, not {_plain(field.type)}")
    others = sorted(set(types) - set(wanted.names))
    return told + ([f"{', '.join(others)} is in no contract"] if others else [])


def _plain(kind: pa.DataType) -> str:
    """Return the type's name without length of offsets, list element names and nullability."""
    text = str(kind).replace("large_", "").replace("_view", "")
    return text.replace("list<element:", "list<item:").replace(" not null", "")


CHECKS: Sequence[Check] = [
    Check(area="lake", title="store", needs=("minio",), run=_store),
    Check(area="lake", title="tables", by_contracts=True, needs=("minio",), run=_tables),
]
