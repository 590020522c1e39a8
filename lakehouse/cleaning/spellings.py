"""Which values of a batch are spelled otherwise than they should be, one table per column.

The functions of `spelling` are not fast, so each is asked once per distinct value.
"""

from collections.abc import Callable, Mapping
from datetime import date

import polars as pl

from lakehouse.cleaning import spelling
from lakehouse.cleaning.transforms.clean import SPELLED, raw
from lakehouse.contracts import Cleaning, Column, Derivation, Derived, Entity

_MAY_NEED_SPACES = r"^\s|\s$|\s\s|[^\x20-\x7e]"
_INPUTS: Mapping[Derivation, Callable[..., str | None]] = {
    Derivation.REGION_CODE: spelling.region_code,
    Derivation.PERSON_KEY: spelling.person_key,
}


def spellings(changes: pl.DataFrame, entity: Entity) -> dict[str, pl.DataFrame]:
    """For each column that is cleaned or derived by a library: values, and what they become.

    Returns:
        By column name: the raw inputs as `raw:…` and `spelled`, one row per distinct value. A
        value that is not in it is left as it is.
    """
    found = {}
    for column in entity.columns:
        if column.cleaning is not Cleaning.NONE:
            inputs = inputs_of(column, entity)
            found[column.name] = _ask(_distinct(changes, inputs, column), _speller(column))
    for derived in entity.derived:
        if derived.how in _INPUTS:
            found[derived.name] = _ask(_distinct(changes, derived.inputs), _INPUTS[derived.how])
    return found


def inputs_of(column: Column | Derived, entity: Entity) -> tuple[str, ...]:
    """The columns whose raw values decide how one is spelled."""
    if isinstance(column, Derived):
        return column.inputs
    if column.cleaning is Cleaning.PHONE:
        return (column.name, _country_of(entity))
    return (column.name,)


def _country_of(entity: Entity) -> str:
    return entity.with_cleaning(Cleaning.COUNTRY)[0].name


def _distinct(
    changes: pl.DataFrame, inputs: tuple[str, ...], column: Column | None = None
) -> pl.DataFrame:
    asked = changes.select(inputs).filter(pl.col(inputs[0]).is_not_null())
    if column is not None and column.cleaning is Cleaning.SPACES:
        asked = asked.filter(pl.col(inputs[0]).str.contains(_MAY_NEED_SPACES))
    return asked.unique()


def _speller(column: Column) -> Callable[..., str | None]:
    match column.cleaning:
        case Cleaning.SPACES | Cleaning.NONE:
            return spelling.spaces
        case Cleaning.NAME:
            return spelling.name
        case Cleaning.CHOICE:
            return lambda text: spelling.choice(text, column.choices)
        case Cleaning.COUNTRY:
            return spelling.country
        case Cleaning.PHONE:
            return spelling.phone
        case Cleaning.EMAIL:
            return spelling.email


def _ask(asked: pl.DataFrame, spell: Callable[..., str | None]) -> pl.DataFrame:
    answers = [spell(*map(_text, values)) for values in asked.iter_rows()]
    named = asked.rename({name: raw(name) for name in asked.columns})
    return named.with_columns(pl.Series(SPELLED, answers, dtype=pl.String))


def _text(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value
