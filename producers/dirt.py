"""Faults of real sources, injected on purpose, each recorded in the ledger with the clean value.

They use a random generator of their own: a seed gives the same shop with and without dirt.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random
from typing import Any, TypeVar

from producers.changes import Changes, Dirt
from producers.geography import countries
from producers.rows import (
    TABLE_OF,
    CustomerRow,
    InteractionRow,
    OrderLineRow,
    ProductRow,
    SupplierRow,
)

R = TypeVar("R", SupplierRow, ProductRow, CustomerRow, OrderLineRow, InteractionRow)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A kind of fault of a column. If `spoil` returns the value unchanged, no fault is injected."""

    name: str
    column: str
    spoil: Callable[[Random, Any], Any]


class Dirtier:
    """Injection of faults into a share of the rows, one value per row, with a record of each."""

    def __init__(self, random: Random, *, percent: float) -> None:
        self._random = random
        self._share = percent / 100

    def spoil(self, row: R, changes: Changes) -> R:
        """Return a row to insert, possibly with a fault."""
        spoiled, dirt = self._spoil(TABLE_OF[type(row)], row[0], row._asdict, version=1)
        changes.dirt.extend(dirt)
        return row._replace(**spoiled) if spoiled else row

    def spoil_update(
        self, table: str, key: int, values: Mapping[str, object]
    ) -> tuple[dict[str, object], list[Dirt]]:
        """Return columns to update, possibly with a fault in one of them, and that fault."""
        spoiled, dirt = self._spoil(table, key, lambda: values, version=None)
        return {**values, **spoiled}, dirt

    @property
    def makes_twin(self) -> bool:
        """Return whether a new customer gets a duplicate account."""
        return self._random.random() < self._share / 2

    def twin(self, row: CustomerRow, customer_id: int, changes: Changes) -> CustomerRow:
        """Return a duplicate of the customer, slightly changed; the ledger has the original."""
        first_name, last_name = row.first_name, row.last_name
        typed: dict[str, Any] = self._random.choice(
            (
                {"first_name": last_name, "last_name": first_name},
                {"first_name": f"{first_name[:1]}."},
                {"first_name": first_name.lower(), "last_name": last_name.lower()},
                {"email": row.email.upper()},
            )
        )
        changes.dirt.append(
            Dirt(
                table="customers",
                key=customer_id,
                column="customer_id",
                fault="same_person_twice",
                dirty=str(customer_id),
                clean=str(row.customer_id),
                version=1,
            )
        )
        return row._replace(customer_id=customer_id, **typed)

    def _spoil(
        self, table: str, key: int, read: Callable[[], Mapping[str, object]], *, version: int | None
    ) -> tuple[dict[str, Any], list[Dirt]]:
        """Return a faulty value by column and its record; both empty for most rows."""
        if self._random.random() >= self._share:
            return {}, []
        values = read()
        possible = [f for f in FAULTS.get(table, ()) if values.get(f.column) is not None]
        if not possible:
            return {}, []
        fault = self._random.choice(possible)
        clean = values[fault.column]
        dirty = fault.spoil(self._random, clean)
        if dirty == clean:
            return {}, []
        note = Dirt(
            table=table,
            key=key,
            column=fault.column,
            fault=fault.name,
            dirty=_text(dirty),
            clean=_text(clean),
            version=version,
        )
        return {fault.column: dirty}, [note]


def _stray_spaces(random: Random, text: str) -> str:
    return random.choice((f" {text}", f"{text}  ", f"\t{text} ", text.replace(" ", "  ") + " "))


def _stray_case(random: Random, text: str) -> str:
    return random.choice((text.upper(), text.lower(), text.swapcase()))


def _country_name(random: Random, code: str) -> str:
    name = countries()[code].name
    return random.choice((name, name.upper(), f"{name} "))


def _country_old_code(_random: Random, code: str) -> str:
    return countries()[code].old_code


def _phone_format(random: Random, number: str) -> str:
    abroad, rest = number.split(" ", maxsplit=1)
    digits = "".join(c for c in number if c.isdigit())
    trunk = next(c.trunk for c in countries().values() if c.phone.startswith(f"{abroad} "))
    national = trunk + rest.replace(" ", random.choice(("", ".", "-")))
    return random.choice((f"00{digits}", national, f"+{digits}", f"({abroad}) {rest}"))


def _invalid_email(random: Random, address: str) -> str:
    name, domain = address.split("@")
    return random.choice(
        (
            f"{name}{domain}",
            f"{name}@@{domain}",
            f"{name}@",
            f"{name} @{domain}",
            f"{name}@localhost",
        )
    )


def _future_date(random: Random, day: date) -> date:
    return day + timedelta(days=365 * random.randint(90, 110))


def _future_instant(random: Random, instant: datetime) -> datetime:
    return instant + timedelta(days=random.randint(2, 400))


def _negative(_random: Random, quantity: int) -> int:
    return -quantity


def _absurd(random: Random, quantity: int) -> int:
    return quantity * random.choice((1_000, 10_000, 99_999))


def _absurd_rating(random: Random, _rating: int) -> int:
    return random.choice((-1, 0, 11, 55, 100))


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _faults(name: str, spoil: Callable[[Random, Any], Any], *columns: str) -> tuple[Fault, ...]:
    return tuple(Fault(name=name, column=column, spoil=spoil) for column in columns)


FAULTS: dict[str, tuple[Fault, ...]] = {
    "customers": (
        *_faults("stray_spaces", _stray_spaces, "first_name", "last_name", "city", "email"),
        *_faults("stray_case", _stray_case, "last_name", "city"),
        *_faults("country_name", _country_name, "country"),
        *_faults("country_old_code", _country_old_code, "country"),
        *_faults("stray_case", _stray_case, "country"),
        *_faults("phone_format", _phone_format, "phone"),
        *_faults("invalid_email", _invalid_email, "email"),
        *_faults("future_date", _future_date, "birth_date"),
    ),
    "suppliers": (
        *_faults("stray_spaces", _stray_spaces, "name", "city"),
        *_faults("country_name", _country_name, "country"),
    ),
    "products": (
        *_faults("stray_spaces", _stray_spaces, "name", "category", "brand"),
        *_faults("stray_case", _stray_case, "category", "brand"),
    ),
    "order_lines": (
        *_faults("negative_quantity", _negative, "quantity"),
        *_faults("absurd_quantity", _absurd, "quantity"),
        *_faults("future_instant", _future_instant, "created_at"),
    ),
    "interactions": (
        *_faults("stray_case", _stray_case, "device"),
        *_faults("stray_spaces", _stray_spaces, "device", "referrer"),
        *_faults("future_instant", _future_instant, "occurred_at"),
        *_faults("absurd_rating", _absurd_rating, "rating"),
    ),
}
"""Possible faults by column."""
