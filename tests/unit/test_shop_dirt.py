"""What is written wrong on purpose, and what the ledger says of it."""

from collections import Counter
from datetime import date
from functools import lru_cache

import pytest

from producers.dirt import FAULTS
from tests.shops import play

PERCENT = 5
ORDERS = 3_000


@lru_cache
def dirty_shop():
    return play(dirt_percent=PERCENT, orders=ORDERS)


@pytest.fixture(scope="module")
def dirty():
    return dirty_shop()


@pytest.fixture(scope="module")
def clean():
    return play(orders=ORDERS)


def text(value):
    return value.isoformat() if isinstance(value, date) else str(value)


def twins(dirty):
    return {note.key for note in dirty.dirt if note.fault == "same_person_twice"}


def test_what_the_ledger_claims_stands_in_the_row(dirty):
    for note in dirty.dirt:
        row = dirty.versions[note.table][note.key][note.version - 1]
        assert text(row[note.column]) == note.dirty
        assert note.dirty != note.clean


def test_putting_the_clean_values_back_gives_the_clean_shop(dirty, clean):
    """Whatever is wrong is in the ledger, and the ledger's original is what it should have been."""
    keys = {None: None}
    originals = [k for k in dirty.versions["customers"] if k not in twins(dirty)]
    keys |= dict(zip(originals, clean.versions["customers"], strict=True))
    notes = {}
    for note in dirty.dirt:
        notes.setdefault((note.table, note.key, note.column), []).append(note)

    for table, rows in dirty.versions.items():
        for key, versions in rows.items():
            if table == "customers" and key in twins(dirty):
                continue
            wanted = clean.versions[table][keys[key] if table == "customers" else key]
            cleaned = [cleaned_row(table, key, n, row, notes) for n, row in enumerate(versions, 1)]
            for row in cleaned:
                if row is not None and "customer_id" in row:
                    row["customer_id"] = keys[row["customer_id"]]
            assert cleaned == [as_text(row) for row in wanted]


def cleaned_row(table, key, version, row, notes):
    if row is None:
        return None
    found = as_text(row)
    for column, value in found.items():
        for note in notes.get((table, key, column), ()):
            if note.version <= version and value == note.dirty:
                found[column] = note.clean
    return found


def as_text(row):
    """A row as the ledger writes values, but for the customer, whose key depends on twins."""
    if row is None:
        return None
    return {c: v if c == "customer_id" or v is None else text(v) for c, v in row.items()}


def test_every_fault_is_made(dirty):
    made = Counter((note.table, note.column, note.fault) for note in dirty.dirt)
    for table in ("customers", "order_lines", "interactions"):
        for fault in FAULTS[table]:
            assert made[table, fault.column, fault.name], fault


def test_about_as_many_rows_are_wrong_as_asked_for(dirty):
    rows = len(dirty.versions["order_lines"])
    wrong = {note.key for note in dirty.dirt if note.table == "order_lines"}
    assert 0.8 * PERCENT / 100 < len(wrong) / rows < 1.2 * PERCENT / 100


def test_a_twin_is_the_same_person_at_the_same_address(dirty):
    found = [note for note in dirty.dirt if note.fault == "same_person_twice"]
    assert found
    for note in found:
        twin = dirty.versions["customers"][note.key][0]
        person = dirty.versions["customers"][int(note.clean)][0]
        same = {c for c in person if person[c] == twin[c]}
        assert {"street", "postal_code", "birth_date"} - {n.column for n in dirty.dirt
            if n.table == "customers" and n.key == int(note.clean)} <= same  # fmt: skip
        assert len(person) - len(same) <= 4


def test_moving_house_can_be_typed_wrong_and_the_ledger_knows_the_version(dirty):
    notes = [n for n in dirty.dirt if n.table == "customers" and n.version > 1]
    assert notes


def test_without_dirt_the_ledger_is_empty(clean):
    assert clean.dirt == []


def test_line_totals_are_those_of_the_quantity_that_was_meant(dirty):
    meant = {(n.key, n.version): int(n.clean) for n in dirty.dirt if n.column == "quantity"}
    for (key, version), quantity in meant.items():
        row = dirty.versions["order_lines"][key][version - 1]
        cents = round(float(row["line_total_amount"]) * 100)
        assert cents == quantity * round(float(row["unit_price_amount"]) * 100)
