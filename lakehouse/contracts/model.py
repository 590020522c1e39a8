"""What a contract says of a table and its columns. Everything else reads it here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum

import narwhals as nw

from lakehouse.contracts.bronze import RAW_NAMES


class Type(StrEnum):
    """What a column holds once it has been read."""

    TEXT = "text"
    INTEGER = "integer"
    CENTS = "cents"
    """Money: whole hundredths of a currency's unit."""
    RATE = "rate"
    """Whole hundred-millionths: the base currency's units that one unit of a currency is worth."""
    DEGREES = "degrees"
    BOOLEAN = "boolean"
    TIMESTAMP = "instant"
    """UTC, to the microsecond, from `FIRST_TIMESTAMP` to `LAST_TIMESTAMP`."""
    DATE = "date"
    """A day of the shop's calendar, from `FIRST_DAY` to `LAST_DAY`."""


FIRST_DAY, LAST_DAY = date(1, 1, 1), date(9999, 12, 31)
"""Days that all stores and their readers hold: Postgres' calendar is longer, Python's is not."""
FIRST_TIMESTAMP = datetime(1, 1, 3, tzinfo=UTC)
LAST_TIMESTAMP = datetime(9999, 12, 30, 23, 59, 59, 999_999, tzinfo=UTC)
"""Instants, both included, that have such a day in every time zone, and another one than
0001-01-01: that is the warehouse's unknown day."""
MOST_KEY_BYTES = 400
"""Longest text of a column in a key or an index, in UTF-8. Long enough for the name of any place in
any script, and six of them fit into one row of an index in Postgres, which holds 2,704 bytes."""


class Cleaning(StrEnum):
    """How a text is brought into its one spelling. What cannot be is a fault of its own name."""

    NONE = "none"
    SPACES = "spaces"
    """Unicode NFC; no spaces outside, single ones inside; no control characters."""
    NAME = "name"
    """As `SPACES`; and what is all upper, all lower or inverted case gets capitals as names do."""
    CHOICE = "choice"
    """As `SPACES`; and spelled as the contract's list does, whatever its case."""
    COUNTRY = "country"
    """ISO 3166-1 alpha-2, from a code, a former code, or a name in a language of the shop."""
    CURRENCY = "currency"
    """ISO 4217, from a code in any case."""
    PHONE = "phone"
    """E.164; a national number is read as one of the row's country."""
    EMAIL = "email"
    """RFC 5321 syntax with a public domain, in small letters."""


UNKNOWN = "unknown"
"""A value that is not known: of a code that no list has, of a product that is not here yet."""


LISTED = (Cleaning.CHOICE, Cleaning.COUNTRY, Cleaning.CURRENCY)
"""The kinds of which all values there are stand in a list."""


class OnUnknown(StrEnum):
    """What to do with a change that has a value which is in no list.

    A column of which `Cleaning` knows all values there are declares this.
    """

    COUNT = "count"
    """The column describes: the row counts, under `UNKNOWN`; the value is kept in `_extra`."""
    QUARANTINE = "quarantine"
    """The column decides whether or how money counts: a guess would make a metric wrong."""


class OnSchemaChange(StrEnum):
    """What to do with a change that lacks a required column, or has one of another type."""

    EVOLVE = "evolve"
    """Take the column as absent from there on; a retyped value is kept in `_extra`."""
    IGNORE = "ignore"
    """The contract stands: the change goes into quarantine."""
    STOP = "stop"
    """The run stops before it writes anything, and says which column of which table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a silver table, and where it comes from.

    Attributes:
        name: silver's.
        source: the shop's, where that is another.
        description: for people; ends up in documents and in the warehouse's comments.
        unit: of a number, where its type does not say it.
        required: a change without a value is quarantined.
        allowed_values: all values there are, in the one spelling.
        on_unknown: what to do with a value that is in no list; only of lists, and of all of them.
        minimum: smallest and
        maximum: largest value allowed, inclusive.
        maximum_in_base: largest amount allowed, in the base currency, at the rate in the column
            `rate` of the same row.
        most_bytes: longest text allowed, in UTF-8. Whatever is in a key, an index or a path has it.
        not_in_future: an instant or a day that cannot be later than the change itself.
        can_be_dropped: a text that cannot be cleaned is left out instead of quarantining the row.
    """

    name: str
    type: Type
    description: str
    source: str = ""
    unit: str | None = None
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
        """The source's name is the same unless it is told."""
        object.__setattr__(self, "source", self.source or self.name)
        if (self.cleaning in LISTED) != (self.on_unknown is not None):
            message = f"{self.name}: on_unknown is for columns whose values are in a list."
            raise ValueError(message)
        if (self.maximum_in_base is None) == bool(self.rate):
            message = f"{self.name}: maximum_in_base and rate go together."
            raise ValueError(message)

    @property
    def counts_unknown(self) -> bool:
        """Whether a value that is in no list becomes `UNKNOWN`."""
        return self.on_unknown is OnUnknown.COUNT


class Derivation(StrEnum):
    """How a derived column comes from the columns of the same row."""

    BUSINESS_DATE = "business date"
    """The day in the shop's time zone of an instant."""
    MONTH = "month"
    """The month of a day, as text: `2026-11`."""
    REGION_CODE = "region code"
    """ISO 3166-2, from country and the region's name."""
    PERSON_KEY = "person key"
    """The same for all accounts of one person: e-mail and birth date, hashed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """A column of a silver table that is computed from others of the same row."""

    name: str
    type: Type
    description: str
    how: Derivation
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A condition that ranges columns. Where `holds` is false, the change is quarantined."""

    name: str
    description: str
    holds: Callable[[], nw.Expr]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """The contract of one table of the shop.

    Attributes:
        table: the shop's.
        silver: where its current rows are.
        history: where all versions of its rows are, for those that the warehouse keeps versions of.
        grain: one row per what.
        key: primary key, an integer.
        columns: in silver's order, the key first.
        derived: columns computed from these.
        rules: that offsets columns.
        partition: derived month that splits silver; None for tables that stay small.
        as_of: the instant at which the source says a version of the row begins.
    """

    table: str
    silver: str
    grain: str
    key: str
    columns: tuple[Column, ...]
    derived: tuple[Derived, ...] = ()
    rules: tuple[Rule, ...] = ()
    history: str | None = None
    partition: str | None = None
    as_of: str = "updated_at"
    on_removed: OnSchemaChange = OnSchemaChange.IGNORE
    on_retyped: OnSchemaChange = OnSchemaChange.IGNORE

    @property
    def bronze(self) -> str:
        """The bronze table."""
        return RAW_NAMES[self.table]

    @property
    def fields(self) -> tuple[Column | Derived, ...]:
        """All columns of the silver table that say something of the row, the key first."""
        return (*self.columns, *self.derived)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of these."""
        return tuple(field.name for field in self.fields)

    def column(self, name: str) -> Column:
        """A column by silver's name."""
        return next(column for column in self.columns if column.name == name)

    @property
    def counting_unknown(self) -> Sequence[Column]:
        """The columns in which a value that is in no list becomes `UNKNOWN`."""
        return [column for column in self.columns if column.counts_unknown]

    def with_cleaning(self, *kinds: Cleaning) -> Sequence[Column]:
        """The columns that are cleaned in one of these ways."""
        return [column for column in self.columns if column.cleaning in kinds]


def row_times() -> tuple[Column, ...]:
    """What the shop keeps of every row."""
    return (
        Column(
            name="created_at", type=Type.TIMESTAMP, required=True, not_in_future=True,
            description="When the row was made, by the shop.",
        ),
        Column(
            name="updated_at", type=Type.TIMESTAMP, required=True,
            description="When this version of the row was made, by the shop.",
        ),
        Column(
            name="version", type=Type.INTEGER, required=True, minimum=1,
            description="Number of this version of the row, from 1.",
        ),
    )  # fmt: skip


PLACEHOLDER = "__debezium_unavailable_value"
"""What Debezium writes for a large value that an update left alone and the WAL does not hold."""


def day_and_month(stem: str, description: str) -> tuple[Derived, Derived]:
    """The business day of `<stem>_at`, and its month, by which large tables are split."""
    return (
        Derived(
            name=f"{stem}_date", type=Type.DATE, how=Derivation.BUSINESS_DATE,
            inputs=(f"{stem}_at",), description=description,
        ),
        Derived(
            name=f"{stem}_month", type=Type.TEXT, how=Derivation.MONTH, inputs=(f"{stem}_date",),
            description="Month of that day; splits the table.",
        ),
    )  # fmt: skip


RATE_SCALE = 100_000_000
"""Parts of one in a `Type.RATE`."""
MOST_CENTS = 1_000_000_000
"""Ten million of the base currency: more is a slip of the keyboard."""
MOST_FOREIGN_CENTS = 10**12 - 1
"""All that the shop's `numeric(12, 2)` holds. For amounts in a currency of which the row has no
rate: what is a slip in one is a price in another."""
