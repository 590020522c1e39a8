"""What a column of an entity accepts, in the words of someone who writes a mapping."""

from decimal import Decimal
from typing import Literal

from lakehouse.contracts.model import Cleaning, Column, Type

IF_ABSENT: dict[str, object] = {"updated_at": {"commit_time": True}, "version": {"constant": 1}}
"""What stands for columns that foreign tables seldom have."""
_DIGITS = {Type.INTEGER: 0, Type.CENTS: 2, Type.RATE: 8}
"""Digits after the point. Limits of a column are in units of the last."""
_KINDS = {
    Type.TEXT: "a text",
    Type.INTEGER: "a whole number",
    Type.CENTS: "an amount",
    Type.RATE: "an exchange rate: units of the base currency for one unit of the currency",
    Type.DEGREES: "a number",
    Type.BOOLEAN: "true or false",
    Type.TIMESTAMP: "an instant: a timestamp with time zone, or {local_time: …} of one without",
    Type.DATE: "a day, such as 2026-11-30",
    Type.WALL_CLOCK: "a timestamp without time zone",
}
_TEXTS = {
    Cleaning.COUNTRY: "a country: its ISO 3166-1 code, or its name",
    Cleaning.CURRENCY: "a currency: its ISO 4217 code",
    Cleaning.EMAIL: "an e-mail address",
    Cleaning.PHONE: "a phone number",
}
_OF_CENTS = "cents of "


def digits_of(column: Column) -> int | None:
    """Return how many digits a number may have after the point; None for any number of them."""
    return _DIGITS.get(column.type, column.scale or None)


def limit(column: Column, which: Literal["minimum", "maximum"]) -> Decimal | None:
    """Return a limit as it is written in a mapping: of an amount in units, not in cents."""
    bound: int | None = getattr(column, which)
    # The minimum of a rate in percent is in percent.
    return None if bound is None else Decimal(bound).scaleb(-_DIGITS.get(column.type, 0))


def accepted(column: Column) -> str:
    """Return what a mapping has to give a column: its kind, unit, limits or values."""
    if column.allowed_values:
        return f"one of {', '.join(column.allowed_values)}"
    told = _TEXTS.get(column.cleaning) or _KINDS.get(column.type, f"a value of type {column.type}")
    unit = column.unit or ""
    if column.type is Type.CENTS and unit:
        told += f" in units of {unit.removeprefix(_OF_CENTS)}, such as 12.50"
    elif unit and column.type is not Type.RATE:
        told += f" of {unit}"
    if column.most_bytes:
        told += f" of at most {column.most_bytes:,} bytes"
    elif column.type is Type.TEXT and column.required and column.cleaning not in _TEXTS:
        told += " that is not empty"
    least, most = limit(column, "minimum"), limit(column, "maximum")
    told += f", from {least:,f}" if least is not None else ""
    if most is not None:
        told += f"{' ' if least is not None else ', '}to {most:,f}"
    return f"{told}, not in the future" if column.not_in_future else told


def need(column: Column) -> str:
    """Return whether a mapping has to have an expression for a column."""
    if column.name in IF_ABSENT:
        return "optional: the time of the commit" if column.name == "updated_at" else "optional: 1"
    return "required" if column.required else "optional: null"
