"""Cleaning of the text columns of a batch. Grain: one row per change.

The functions of `spelling` are slow, so each is called once per distinct value.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property

import polars as pl

from lakehouse.cleaning import spelling
from lakehouse.cleaning.transforms.clean import SPELLED
from lakehouse.cleaning.typed import read_column
from lakehouse.contracts import Cleaning, Column, Derivation, Derived, Entity
from lakehouse.contracts.model import UNKNOWN

_MAY_NEED_SPACES = r"^$|^\s|\s$|\s\s|[^\x20-\x7e]"
_INPUTS: Mapping[Derivation, Callable[..., str | None]] = {
    Derivation.REGION_CODE: spelling.region_code,
    Derivation.PERSON_KEY: spelling.person_key,
}


@dataclass(frozen=True, kw_only=True)
class _Question:
    """One column to be cleaned or derived by a function of `spelling`.

    Attributes:
        column: the contract's column.
        inputs: columns passed to the function; if the first is null, so is the result.
    """

    column: Column | Derived
    inputs: tuple[Column, ...]

    @property
    def name(self) -> str:
        """Return the name of the column."""
        return self.column.name

    @property
    def leaves_plain(self) -> bool:
        """Return whether ASCII texts with single spaces stay as they are; "" does not."""
        return isinstance(self.column, Column) and self.column.cleaning is Cleaning.SPACES

    @cached_property
    def key(self) -> pl.Expr:
        """Build a text that is unique for each combination of the inputs."""
        if len(self.inputs) == 1:
            return _value(self.inputs[0])
        parts = []
        for column in self.inputs:
            text = _value(column)
            length = text.str.len_bytes().cast(pl.String)
            parts.append(pl.concat_str(length, pl.lit(":"), text).fill_null("-"))
        return pl.concat_str(parts)

    @cached_property
    def asked(self) -> pl.Expr:
        """Collect the distinct keys with their inputs, as one list."""
        first = _value(self.inputs[0])
        is_asked = (
            first.str.contains(_MAY_NEED_SPACES) if self.leaves_plain else first.is_not_null()
        )
        values = [_value(column).alias(f"{n}") for n, column in enumerate(self.inputs)]
        asked = pl.struct(self.key.alias("key"), *values)
        return asked.filter(is_asked).unique().implode().alias(self.name)

    def answered(self, asked: pl.Series) -> pl.Expr:
        """Map each row to its cleaned value."""
        if self.leaves_plain and asked.is_empty():
            return _value(self.inputs[0]).alias(f"{SPELLED}{self.name}")
        keys = asked.struct.field("key")
        inputs = (asked.struct.field(f"{n}") for n in range(len(self.inputs)))
        spell = speller(self.column)
        answers = [spell(*values) for values in zip(*inputs, strict=True)]
        found = self.key.replace_strict(
            keys,
            pl.Series(answers, dtype=pl.String),
            default=_value(self.inputs[0]) if self.leaves_plain else None,
        )
        return found.alias(f"{SPELLED}{self.name}")


def spell(texts: pl.DataFrame, entity: Entity) -> pl.DataFrame:
    """Add the cleaned value of each column that a function of `spelling` cleans or derives.

    Args:
        texts: the shop's columns as text.
        entity: the contract.

    Returns:
        The same rows with a column `spelled:…` for each of these.
    """
    questions = _questions(entity)
    asked = texts.select(question.asked for question in questions)
    return texts.with_columns(
        question.answered(asked[question.name].explode(empty_as_null=False))
        for question in questions
    )


def inputs_of(column: Column | Derived, entity: Entity) -> tuple[str, ...]:
    """Return the columns whose raw values are passed to the function."""
    if isinstance(column, Derived):
        return column.inputs
    if column.cleaning is Cleaning.PHONE:
        return (column.name, _country_of(entity))
    return (column.name,)


@cache
def _questions(entity: Entity) -> tuple[_Question, ...]:
    columns: list[Column | Derived] = [
        *(column for column in entity.columns if column.cleaning is not Cleaning.NONE),
        *(column for column in entity.derived if column.how in _INPUTS),
    ]
    return tuple(
        _Question(
            column=column,
            inputs=tuple(entity.column(name) for name in inputs_of(column, entity)),
        )
        for column in columns
    )


def _country_of(entity: Entity) -> str:
    return entity.with_cleaning(Cleaning.COUNTRY)[0].name


def speller(column: Column | Derived) -> Callable[..., str | None]:
    """Return the function that cleans a column's texts, or derives it; its inputs: `inputs_of`."""
    if isinstance(column, Derived):
        return _INPUTS[column.how]
    clean = _cleaner(column)
    return (lambda text: clean(text) or UNKNOWN) if column.counts_unknown else clean


def _cleaner(column: Column) -> Callable[..., str | None]:
    if column.cleaning is Cleaning.CHOICE:
        return lambda text: spelling.choice(text, column.allowed_values)
    # Each kind has the name of its function.
    clean: Callable[..., str | None] = getattr(spelling, column.cleaning)
    return clean


def _value(column: Column) -> pl.Expr:
    """Convert to what the functions of `spelling` expect: a date becomes ISO 8601."""
    return read_column(column).cast(pl.String)
