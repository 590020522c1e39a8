"""Columns of a contract from those of a foreign shop, as its mapping says.

Results are texts as Debezium would write them for our own shop, so all that reads texts reads
them. What cannot be computed is a text that is of no type, and therefore quarantined.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta

import orjson
import polars as pl

from lakehouse.contracts import Entity, OnSchemaChange, Type
from lakehouse.contracts.expressions import AMOUNTS, ARITHMETIC, Expression, Op
from lakehouse.contracts.mapping import MappedEntity
from lakehouse.contracts.model import FIRST_TIMESTAMP, LAST_TIMESTAMP

Cell = Callable[[str], pl.Expr]
"""Returns the text of a column of the shop."""
_COMMITTED_US = "committed_us"
LACKING = "\0"
"""Stands for a value of a column that the record does not have, which is not null. No text of
Postgres has this character."""
_FORMAT = "%Y-%m-%dT%H:%M:%S%.6fZ"
_WHOLE = 10**6
"""A hundred percent, in the last digit of a rate, as a fraction or in percent."""
_LONGEST_GAP = timedelta(hours=3)
"""More than clocks are ever put forward, and less than lies between two changes of them."""


def as_received(column: str) -> str:
    """Return the name of the text of a shop's column, before expressions are computed."""
    return f"received:{column}"


def expressed(received: pl.DataFrame, entity: Entity) -> pl.DataFrame:
    """Compute the texts of a mapped contract's columns; those of others are left as they are.

    Args:
        received: the columns of `read_envelopes`.
        entity: the contract.
    """
    if not isinstance(entity, MappedEntity):
        return received
    is_delete = pl.col("_operation") == "d"
    keys = entity.key_names

    def cell(name: str) -> pl.Expr:
        return pl.col(as_received(name))

    made = []
    for column, expression in zip(entity.columns, entity.expressions, strict=True):
        text = text_of(expression, cell, pl.col(_COMMITTED_US))
        if column.name not in keys:
            is_lacking = [cell(name) == LACKING for name in expression.columns]
            lacks_any = pl.any_horizontal(pl.lit(value=False), *is_lacking)
            text = pl.when(lacks_any).then(pl.lit(LACKING)).otherwise(text)
        # A delete has nothing but a key, not even constants.
        has_value = pl.lit(value=True) if column.name in keys else ~is_delete
        made.append(pl.when(has_value).then(text).alias(column.text))
    return received.with_columns(made).drop(map(as_received, entity.shop_columns))


def mark_lacking(received: pl.DataFrame, values: pl.Series, entity: Entity) -> pl.DataFrame:
    """Tell columns that a record lacks from those that are null.

    A column that the shop dropped or renamed must not count as null, for which a mapping may have
    another value.

    Args:
        received: the columns of `read_envelopes`.
        values: the records, in the same order.
        entity: the contract.

    Returns:
        The same rows, with `LACKING` in the shop's columns that an expression reads.
    """
    if not isinstance(entity, MappedEntity) or entity.on_lacking is OnSchemaChange.EVOLVE:
        return received
    names = [one for one in entity.shop_columns if one != entity.key_columns[0].source]
    is_null = {name: pl.col(as_received(name)).is_null() for name in names}
    has_null = pl.any_horizontal(pl.lit(value=False), *is_null.values())
    is_row = pl.col("_operation").is_in(["c", "r", "u"])
    # Few records have nulls: only they are parsed once more, which tells the two apart.
    asked = received.select((is_row & has_null).fill_null(value=False).arg_true()).to_series()
    if asked.is_empty():
        return received
    images = [_image(value) for value in values.gather(asked)]
    for name in names:
        lacking = asked.filter(pl.Series([name not in image for image in images], dtype=pl.Boolean))
        if not lacking.is_empty():
            text = received[as_received(name)].scatter(lacking, LACKING)
            received = received.with_columns(text)
    return received


def _image(value: bytes | str) -> Collection[str]:
    """Return the names of the columns in a record's row."""
    try:
        return orjson.loads(value)["after"] or ()
    except (ValueError, LookupError, TypeError):
        return ()


def text_of(expression: Expression, cell: Cell, committed_us: pl.Expr) -> pl.Expr:
    """Return the text of an expression, as Debezium would write it.

    Args:
        expression: of a mapping.
        cell: returns the text of a column of the shop.
        committed_us: when the change was committed, in microseconds since 1970.
    """

    def text(one: Expression) -> pl.Expr:
        return text_of(one, cell, committed_us)

    if expression.op in (*AMOUNTS, *ARITHMETIC):
        number = _number(expression, text, 2 if expression.target.type is Type.CENTS else 0)
        return _or_unreadable(_written(number, expression), expression, cell)
    if expression.op is Op.LOCAL_TIME:
        instant = _instant(text(expression.args[0]), expression.text)
        return _or_unreadable(instant.dt.strftime(_FORMAT), expression, cell)
    leaves = {
        Op.COLUMN: lambda: cell(expression.text),
        Op.CONSTANT: lambda: pl.lit(expression.text, pl.String),
        Op.COMMIT_TIME: lambda: _moment(committed_us).dt.strftime(_FORMAT),
        Op.NULL: lambda: pl.lit(None, pl.String),
    }
    if expression.op in leaves:
        return leaves[expression.op]()
    return _chosen(expression, [text(one) for one in expression.args])


def _chosen(expression: Expression, args: Sequence[pl.Expr]) -> pl.Expr:
    """Return a text that is chosen or joined from others."""
    if expression.op is Op.CASE:
        return _case(args[0], expression, args[1] if expression.has_otherwise else None)
    if expression.op is Op.COALESCE:
        return pl.coalesce(args)
    joined = pl.concat_str(args, separator=expression.text, ignore_nulls=True)
    return pl.when(pl.any_horizontal(part.is_not_null() for part in args)).then(joined)


def _case(text: pl.Expr, expression: Expression, otherwise: pl.Expr | None) -> pl.Expr:
    values = dict(expression.values)
    # Spaces at the end do not count: of a `char(n)`, the shop fills up with them.
    result = text.str.strip_chars_end(" ").replace_strict(
        list(values), list(values.values()), default=None, return_dtype=pl.String
    )
    return pl.coalesce(
        result, text if otherwise is None else pl.when(text.is_not_null()).then(otherwise)
    )


def _number(expression: Expression, text: Callable[[Expression], pl.Expr], digits: int) -> pl.Expr:
    """Return a whole number of the last of so many digits; null if it is none.

    In 128 bits: a product of what fits into 64 is exact.
    """
    args = expression.args
    match expression.op:
        case Op.MINOR:
            return _number(args[0], text, 0)
        case Op.MAJOR:
            return _number(args[0], text, digits)
        case Op.NET | Op.TAX:
            gross = _number(args[0], text, digits)
            tax = _number(args[1], text, args[1].target.scale)
            # Beyond the limits of constants, such as percent where fractions are expected.
            with_tax = _WHOLE + pl.when(tax.is_between(0, _WHOLE)).then(tax)
            halves = (2 * gross.abs() * _WHOLE + with_tax) // (2 * with_tax)
            # Away from zero, as Postgres rounds: a refund is the sale's amount with another sign.
            net = pl.when(gross < 0).then(0 - halves).otherwise(halves)
            return net if expression.op is Op.NET else gross - net
        case Op.SUM | Op.DIFFERENCE:
            first, *others = (_number(one, text, digits) for one in args)
            for other in others:
                first = first + other if expression.op is Op.SUM else first - other
            return first
        case Op.PRODUCT:
            product = _number(args[-1], text, digits)
            for factor in args[:-1]:
                product = product * _number(factor, text, 0)
            return product
        case _:
            return _whole(text(expression), digits)


def _whole(text: pl.Expr, digits: int) -> pl.Expr:
    fraction = rf"(\.\d{{0,{digits}}}0*)?" if digits else r"(\.0*)?"
    is_number = text.str.contains(rf"^-?\d{{1,16}}{fraction}$")
    decimal = text.cast(pl.Decimal(38, digits), strict=False)
    number = decimal.to_physical().cast(pl.Int128, strict=False)
    return pl.when(is_number).then(number)


def _written(number: pl.Expr, expression: Expression) -> pl.Expr:
    fits = number.cast(pl.Int64, strict=False)
    if expression.target.type is not Type.CENTS:
        return fits.cast(pl.String)
    sign = pl.when(fits < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    cents = (fits.abs() % 100).cast(pl.String).str.zfill(2)
    return pl.format("{}{}.{}", sign, fits.abs() // 100, cents)


def _or_unreadable(text: pl.Expr, expression: Expression, cell: Cell) -> pl.Expr:
    """Return a text that is of no type where an expression of values has none itself."""
    inputs = [cell(name) for name in expression.columns]
    if not inputs:
        return text
    all_given = pl.all_horizontal(one.is_not_null() for one in inputs)
    shown = pl.concat_str(
        [pl.lit(f"{expression.op} of"), *inputs], separator=" ", ignore_nulls=True
    )
    return pl.coalesce(text, pl.when(all_given).then(shown))


def _moment(micros: pl.Expr) -> pl.Expr:
    """Return the time of so many microseconds since 1970; null if it is out of range.

    Near the ends of its own range, such as `infinity`, Polars ends in a panic.
    """
    first, last = (one.replace(tzinfo=None) for one in (FIRST_TIMESTAMP, LAST_TIMESTAMP))
    read = micros.cast(pl.Datetime("us"))
    return pl.when(read.is_between(first, last)).then(read)


def _instant(text: pl.Expr, time_zone: str) -> pl.Expr:
    """Return the instant of a local time as Postgres' `at time zone` does.

    Of a time that occurs twice, the later; one that clocks skip counts from before they did.
    """
    local = _moment(text.cast(pl.Int64, strict=False))

    def of(moment: pl.Expr) -> pl.Expr:
        zoned = moment.dt.replace_time_zone(time_zone, ambiguous="latest", non_existent="null")
        return zoned.dt.convert_time_zone("UTC").dt.replace_time_zone(None)

    return pl.coalesce(of(local), of(local - _LONGEST_GAP) + _LONGEST_GAP)
