"""Contract model: declarations of tables and columns, used by all other code."""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import ClassVar

from pydantic import ConfigDict

DECLARED = ConfigDict(extra="forbid")


class Type(StrEnum):
    """Type of a column after parsing."""

    TEXT = "text"
    INTEGER = "integer"
    CENTS = "cents"
    """Money: whole hundredths of the currency's unit."""
    RATE = "rate"
    """Exchange rate: hundred-millionths of the base currency per unit of a currency."""
    DEGREES = "degrees"
    BOOLEAN = "boolean"
    TIMESTAMP = "instant"
    """UTC, to the microsecond, from `FIRST_TIMESTAMP` to `LAST_TIMESTAMP`."""
    DATE = "date"
    """A day of the shop's calendar, from `FIRST_DAY` to `LAST_DAY`."""
    DECIMAL = "decimal"
    """An exact number of the column's `precision` and `scale`."""
    FLOAT = "float"
    """64 bits, including NaN and infinities."""
    WALL_CLOCK = "timestamp without time zone"
    """To the microsecond, in the range of `TIMESTAMP`."""
    TIME = "time"
    """Text `HH:MM:SS.ffffff`, to `24:00:00.000000`: Delta has no type for it."""
    BYTES = "bytes"
    OPAQUE = "opaque"
    """Text in Postgres' own form, of a type that Debezium passes on without reading it."""


FIRST_DAY, LAST_DAY = date(1, 1, 1), date(9999, 12, 31)
"""Range of days that all stores and clients hold: Postgres' range is longer, Python's is not."""
FIRST_TIMESTAMP = datetime(1, 1, 3, tzinfo=UTC)
LAST_TIMESTAMP = datetime(9999, 12, 30, 23, 59, 59, 999_999, tzinfo=UTC)
"""First and last timestamp whose day is in that range in every time zone, and is not 0001-01-01,
the warehouse's unknown day."""
MOST_DIGITS = 38
"""Most digits of a decimal in Delta."""
MOST_KEY_BYTES = 400
"""Longest text in a key or index column, in UTF-8 bytes. Long enough for any place name in any
script; six of them fit into a Postgres index row, which holds 2,704 bytes."""


class Cleaning(StrEnum):
    """How a text is cleaned. A text that cannot be cleaned breaks a rule named after this."""

    NONE = "none"
    SPACES = "spaces"
    """Unicode NFC; no leading or trailing spaces, single spaces inside; no control characters."""
    NAME = "name"
    """As `SPACES`; text in all upper, all lower or inverted case gets the capitals of a name."""
    CHOICE = "choice"
    """As `SPACES`; and spelled as in the contract's list, whatever its case."""
    COUNTRY = "country"
    """ISO 3166-1 alpha-2, from a code, a former code, or a name in one of `LANGUAGES`."""
    CURRENCY = "currency"
    """ISO 4217, from a code in any case."""
    PHONE = "phone"
    """E.164; a national number belongs to the row's country."""
    EMAIL = "email"
    """RFC 5321 syntax with a public domain, in lower case."""


UNKNOWN = "unknown"
"""An unknown value: a code that is in no list, a product that has not arrived."""


LISTED = (Cleaning.CHOICE, Cleaning.COUNTRY, Cleaning.CURRENCY)
"""The kinds of cleaning with a complete list of valid values."""


class Mask(StrEnum):
    """What replaces a column's values before a change leaves the shop.

    Spaces at the end do not count: Postgres pads a `char(n)` with them.
    """

    HASH = "hash"
    """SHA-256 of a secret salt and the value, in hexadecimal digits: equal values stay equal."""
    NULL = "null"
    KEEP_LAST_4 = "keep-last-4"
    """Each character is `*` but the last four; each one of a value that is not longer."""


MASKED = re.compile(r"[0-9a-f]{64}|\*+.{4}", re.DOTALL)
"""What `HASH` and `KEEP_LAST_4` make of e-mail addresses, phone numbers and all but short names."""


class OnUnknown(StrEnum):
    """What to do with a change whose value is in no list.

    Declared by columns of which `Cleaning` or the contract lists all values.
    """

    COUNT = "count"
    """For descriptive columns: the row counts under `UNKNOWN`; the value is kept in `_extra`."""
    QUARANTINE = "quarantine"
    """For columns that decide whether or how money counts: a guess would make a metric wrong."""


class OnSchemaChange(StrEnum):
    """What to do with a change that lacks a required column, or has one of another type."""

    EVOLVE = "evolve"
    """The column counts as absent; a retyped value is kept in `_extra`."""
    IGNORE = "ignore"
    """The change is quarantined."""
    STOP = "stop"
    """The run stops before it writes anything, and reports the table and the column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a silver table, and where it comes from.

    Attributes:
        name: name in silver.
        source: name in the shop, if different.
        description: shown in documents and in the warehouse's comments.
        unit: unit of a number, where its type does not determine it.
        is_list: whether a value is a list of values of `type`, with nulls among them.
        precision: digits of a decimal.
        scale: digits of a decimal after the point.
        required: a change without a value is quarantined.
        allowed_values: all valid values, in their cleaned spelling.
        on_unknown: what to do with a value that is in no list; required for columns with a list.
        minimum: smallest value allowed, inclusive.
        maximum: largest value allowed, inclusive.
        maximum_in_base: largest amount allowed in the base currency, at the rate in the column
            `rate` of the same row.
        most_bytes: longest text allowed, in UTF-8. Set for every column in a key, index or path.
        not_in_future: the value must not be later than the change itself.
        can_be_dropped: a text that cannot be cleaned is dropped instead of quarantining the row.
    """

    __pydantic_config__: ClassVar = DECLARED
    name: str
    type: Type
    description: str
    source: str = ""
    unit: str | None = None
    is_list: bool = False
    precision: int = MOST_DIGITS
    scale: int = 0
    required: bool = False
    cleaning: Cleaning = Cleaning.NONE
    allowed_values: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    maximum_in_base: int | None = None
    rate: str = ""
    most_bytes: int | None = None
    not_in_future: bool = False
    can_be_dropped: bool = False
    on_unknown: OnUnknown | None = None

    def __post_init__(self) -> None:
        """Set `source` to the name by default, and check the declaration."""
        object.__setattr__(self, "source", self.source or self.name)
        if (self.cleaning in LISTED) != (self.on_unknown is not None):
            message = f"{self.name}: on_unknown is for columns whose values are in a list."
            raise ValueError(message)
        if (self.maximum_in_base is None) == bool(self.rate):
            message = f"{self.name}: maximum_in_base and rate go together."
            raise ValueError(message)

    @property
    def text(self) -> str:
        """Return the name of the column with its text, as Debezium writes it, while it is read."""
        return f"text:{self.name}"

    @property
    def counts_unknown(self) -> bool:
        """Return whether a value that is in no list becomes `UNKNOWN`."""
        return self.on_unknown is OnUnknown.COUNT


ROW_KEY = "_key"
"""Derived column that identifies a row whose key is not one integer or one text."""


class Derivation(StrEnum):
    """How a derived column is computed from other columns of the same row."""

    BUSINESS_DATE = "business date"
    """The day of a timestamp in the shop's time zone."""
    MONTH = "month"
    """The month of a day, as text: `2026-11`."""
    REGION_CODE = "region code"
    """ISO 3166-2, from country and the region's name."""
    PERSON_KEY = "person key"
    """A hash of e-mail and birth date that all accounts of one person share."""
    ROW_KEY = "row key"
    """A JSON list of the texts of the primary key's columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """A column of a silver table that is computed from others of the same row."""

    __pydantic_config__: ClassVar = DECLARED
    name: str
    type: Type
    description: str
    how: Derivation
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A condition over several columns. Where `holds` is false, the change is quarantined.

    Attributes:
        holds: names of columns, whole numbers, `+ - *`, comparisons and `and`; as in Python.
    """

    __pydantic_config__: ClassVar = DECLARED
    name: str
    description: str
    holds: str

    def __post_init__(self) -> None:
        """Check the condition's syntax."""
        try:
            self.parsed()
        except SyntaxError as error:
            message = f"{self.name}: {error.msg}: {self.holds}"
            raise ValueError(message) from error

    def parsed(self) -> ast.expr:
        """Return the condition's syntax tree."""
        return ast.parse(self.holds.strip(), mode="eval").body


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """The contract of one shop table.

    Attributes:
        table: name of the entity; in our own shop, and in one without a mapping, the table's.
        silver: silver table with the current rows.
        history: silver table with all versions, if the warehouse keeps versions.
        grain: what one row stands for.
        key: column that identifies a row: an integer, a text, or derived as `ROW_KEY`.
        columns: in silver's order, the key first.
        derived: columns computed from `columns`.
        excluded: the shop's columns that silver does not have, not even in `_extra`.
        rules: conditions over several columns.
        partition: derived month column that partitions silver; None for small tables.
        as_of: column with the time at which a version of the row begins, by the source;
            `_committed_at` if the source has none.
        raw: bronze table.
        indexed: columns by which the warehouse finds current rows, besides the key.
        indexed_live: the same, for the rows of live only.
        is_sale: live applies its changes at once.
        live_versions: live has the versions, too, and not only the current rows.
        is_derived: whether the contract follows from the source's catalog.
    """

    __pydantic_config__: ClassVar = DECLARED
    table: str
    silver: str
    grain: str
    key: str
    columns: tuple[Column, ...]
    derived: tuple[Derived, ...] = ()
    excluded: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    history: str | None = None
    partition: str | None = None
    as_of: str = "updated_at"
    raw: str = ""
    indexed: tuple[tuple[str, ...], ...] = ()
    indexed_live: tuple[tuple[str, ...], ...] = ()
    is_sale: bool = False
    live_versions: bool = False
    on_removed: OnSchemaChange = OnSchemaChange.IGNORE
    on_retyped: OnSchemaChange = OnSchemaChange.IGNORE
    is_derived: bool = False

    @property
    def shop_table(self) -> str:
        """Return the name of its table in the shop; "" if the shop has none."""
        return self.table

    @property
    def reader(self) -> str:
        """Return whose watermarks it has in silver's tables of all entities.

        It is "" for the only contract, or the derived one, that reads a topic.
        """
        return ""

    @property
    def is_absent(self) -> bool:
        """Return whether a mapping says that the shop has no such table."""
        return not self.shop_table

    @property
    def bronze(self) -> str:
        """Return the name of the bronze table."""
        return self.raw or f"raw_{self.table}"

    @property
    def to_correct(self) -> str:
        """Return what to do where the shop's table is other than the contract."""
        place = f"lakehouse/contracts/shop/{self.table}.yaml"
        if self.is_derived:
            place = f"CONTRACTS_DIR, {self.table}.yaml"
        return f"Correct the contract of {self.table} in {place}, then run it again."

    @property
    def to_list(self) -> str:
        """Return what to do where values are valid, and in no list of the contract."""
        return "add them to lakehouse/contracts/"

    @property
    def live_tables(self) -> tuple[str, ...]:
        """Return the names of its tables in the schema `live`: current rows, and any versions."""
        return (self.table, *([f"{self.table}_history"] if self.live_versions else ()))

    @property
    def key_columns(self) -> tuple[Column, ...]:
        """Return the columns of the primary key."""
        parts = next((one.inputs for one in self.derived if one.name == self.key), (self.key,))
        return tuple(self.column(name) for name in parts)

    @property
    def key_names(self) -> tuple[str, ...]:
        """Return the names of all columns that a delete keeps: the key, and its parts."""
        return tuple(dict.fromkeys((self.key, *(column.name for column in self.key_columns))))

    def with_key(self, parts: Sequence[str]) -> "Entity":
        """Return the contract with these columns as the key: the only one, or a text of all."""
        first = self.column(parts[0])
        if len(parts) == 1 and first.type in (Type.INTEGER, Type.TEXT) and not first.is_list:
            return replace(self, key=first.name, derived=())
        key = Derived(
            name=ROW_KEY, type=Type.TEXT, how=Derivation.ROW_KEY, inputs=tuple(parts),
            description=f"Identifies a row: a JSON list of the texts of {', '.join(parts)}.",
        )  # fmt: skip
        return replace(self, key=ROW_KEY, derived=(key,))

    @property
    def fields(self) -> tuple[Column | Derived, ...]:
        """Return all business columns of the silver table, the key first."""
        return (*self.columns, *self.derived)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of `fields`."""
        return tuple(field.name for field in self.fields)

    def column(self, name: str) -> Column:
        """Return a column by its name in silver."""
        return next(column for column in self.columns if column.name == name)

    @property
    def counting_unknown(self) -> Sequence[Column]:
        """Return the columns in which a value that is in no list becomes `UNKNOWN`."""
        return [column for column in self.columns if column.counts_unknown]

    def with_cleaning(self, *kinds: Cleaning) -> Sequence[Column]:
        """Return the columns with one of these kinds of cleaning."""
        return [column for column in self.columns if column.cleaning in kinds]


def row_times() -> tuple[Column, ...]:
    """Return the bookkeeping columns that the shop has in every table."""
    return (
        Column(
            name="created_at", type=Type.TIMESTAMP, required=True, not_in_future=True,
            description="When the shop created the row.",
        ),
        Column(
            name="updated_at", type=Type.TIMESTAMP, required=True,
            description="When the shop wrote this version of the row.",
        ),
        Column(
            name="version", type=Type.INTEGER, required=True, minimum=1,
            description="Number of this version of the row, from 1.",
        ),
    )  # fmt: skip


PLACEHOLDER = "__debezium_unavailable_value"
"""Debezium's placeholder for a large value that the WAL omits because it did not change."""


_BYTES_PLACEHOLDER = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="


def placeholder(column: Column) -> str:
    """Return the text that Debezium writes instead of an unchanged large value of a column."""
    is_binary = column.type in (Type.BYTES, Type.OPAQUE)
    text = _BYTES_PLACEHOLDER if is_binary else PLACEHOLDER
    return f'["{text}"]' if column.is_list else text


def day_and_month(stem: str, description: str) -> tuple[Derived, Derived]:
    """Return the business day of `<stem>_at` and its month, which partitions large tables."""
    return (
        Derived(
            name=f"{stem}_date", type=Type.DATE, how=Derivation.BUSINESS_DATE,
            inputs=(f"{stem}_at",), description=description,
        ),
        Derived(
            name=f"{stem}_month", type=Type.TEXT, how=Derivation.MONTH, inputs=(f"{stem}_date",),
            description="Month of that day; the partition column.",
        ),
    )  # fmt: skip


RATE_SCALE = 100_000_000
"""Scale of `Type.RATE`."""
MOST_CENTS = 1_000_000_000
"""Ten million of the base currency: more is a typing error."""
MOST_FOREIGN_CENTS = 10**12 - 1
"""The maximum of the shop's `numeric(12, 2)`. For amounts in a currency without a rate in the
row: a typing error in one currency is a normal price in another."""
