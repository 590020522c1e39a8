"""Expressions of a mapping: how a column of a contract follows from columns of a foreign table.

The set is small on purpose: what a contract's rules need, and nothing that another row decides.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal, DecimalException
from enum import StrEnum
from zoneinfo import available_timezones

from lakehouse.choices import meant
from lakehouse.contracts.described import accepted, digits_of, limit
from lakehouse.contracts.model import Cleaning, Column, Type
from lakehouse.declarations import Faults, MisplacedError


class Op(StrEnum):
    """What an expression does with its arguments."""

    COLUMN = "column"
    CONSTANT = "constant"
    COALESCE = "coalesce"
    """The first value that is not null."""
    CASE = "case"
    """A value by a list of values; one that is not listed stays, unless `otherwise` is given."""
    CONCAT = "concat"
    """Texts without those that are null, with `separator` between them."""
    MINOR = "minor"
    """An amount in whole hundredths."""
    MAJOR = "major"
    """An amount in units, with at most two digits after the point."""
    NET = "net"
    """An amount without the tax that it includes, rounded half away from zero."""
    TAX = "tax"
    """That tax: the amount less `NET` of it."""
    LOCAL_TIME = "local_time"
    """The instant of a timestamp without time zone. Of a time that occurs twice, the later."""
    SUM = "sum"
    DIFFERENCE = "difference"
    PRODUCT = "product"
    """The last may be an amount; those before are whole numbers."""
    COMMIT_TIME = "commit_time"
    """When the shop committed the change."""
    NULL = "null"
    """Of a column that the mapping leaves out."""


AMOUNTS = (Op.MINOR, Op.MAJOR, Op.NET, Op.TAX)
ARITHMETIC = (Op.SUM, Op.DIFFERENCE, Op.PRODUCT)
INSTANTS = (Op.LOCAL_TIME, Op.COMMIT_TIME)
_MANY = (Op.COALESCE, Op.CONCAT, *ARITHMETIC)
_WRITTEN = tuple(op.value for op in Op if op is not Op.NULL)
_BESIDES = {
    Op.CASE: ("values", "otherwise"),
    Op.CONCAT: ("separator",),
    Op.NET: ("tax_percent", "tax_rate"),
    Op.TAX: ("tax_percent", "tax_rate"),
    Op.LOCAL_TIME: ("time_zone",),
}
_ONE_OF = {Op.CASE: ("values",), Op.NET: ("tax_percent", "tax_rate")}
_ONE_OF[Op.TAX] = _ONE_OF[Op.NET]
"""Of these an expression needs exactly one."""
_NUMBERS = (Type.INTEGER, Type.CENTS, Type.RATE, Type.DEGREES)
_MOST_DIGITS = 16
"""Before the point, as cleaning reads them."""
_PLAIN = Column(name="value", type=Type.TEXT, description="")
_TAXES = {
    "tax_percent": replace(
        _PLAIN,
        name="tax_percent",
        type=Type.DEGREES,
        unit="percent",
        scale=4,
        minimum=0,
        maximum=100,
    ),
    "tax_rate": replace(_PLAIN, name="tax_rate", type=Type.DEGREES, scale=6, minimum=0, maximum=1),
}
"""The same number in the last of their digits: 19 percent, as a fraction 0.19."""
_WHOLE = replace(_PLAIN, name="whole number", type=Type.INTEGER)
_AMOUNT = replace(_PLAIN, name="amount", type=Type.CENTS)
_TIME = replace(_PLAIN, name="time", type=Type.WALL_CLOCK)
_LEAVES = (Op.COLUMN, Op.CONSTANT, Op.COMMIT_TIME)
_EXAMPLES = {
    "values": 'values: {"1": paid, "2": shipped}',
    "tax_percent": "tax_percent: 19",
    "tax_rate": "tax_rate: 0.19, or the name of a column with such numbers",
}
_NAME = "Name a column of the table, or write such as"
_RESULTS = {
    AMOUNTS: "an amount",
    ARITHMETIC: "an amount or a whole number",
    INSTANTS: "an instant",
    (Op.CONCAT,): "a text",
}
_KINDS = {
    Op.MINOR: replace(_WHOLE, name="minor"),
    Op.MAJOR: _AMOUNT,
    Op.NET: _AMOUNT,
    Op.TAX: _AMOUNT,
    Op.LOCAL_TIME: _TIME,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """An expression.

    Attributes:
        text: name of the column, the constant as Debezium would write it, the separator, or the
            time zone.
        values: of a case: result by value.
        target: what it is read as: type and, for a column of a contract, its valid values.
        place: where the file has it.
    """

    op: Op
    args: tuple["Expression", ...] = ()
    text: str = ""
    values: tuple[tuple[str, str], ...] = ()
    has_otherwise: bool = False
    target: Column = _PLAIN
    place: tuple[str | int, ...] = ()

    @property
    def meaning(self) -> str:
        """Return a text that is another one where results may be others."""
        args = ", ".join(one.meaning for one in self.args)
        return f"{self.op}({args}; {self.text!r}, {self.values}, {self.has_otherwise})"

    def leaves(self) -> Iterator["Expression"]:
        """Yield the columns that it reads, as expressions."""
        if self.op is Op.COLUMN:
            yield self
        for one in self.args:
            yield from one.leaves()

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns that it reads, in the shop."""
        return tuple(dict.fromkeys(leaf.text for leaf in self.leaves()))


Place = tuple[str | int, ...]


def misplaced_at(place: Place, problem: str, action: str) -> MisplacedError:
    """Return the error that a part of the file is wrong, and what to do about it."""
    return MisplacedError(problem, *place, action=action)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads the expressions of a file, in which naive instants are of `time_zone` by default.

    Attributes:
        faults: what is wrong with them. A wrong one is read as `Op.NULL`, and so has no faults in
            what is around it.
    """

    faults: Faults = field(default_factory=Faults)
    time_zone: str = ""

    def read(self, given: object, target: Column, place: Place) -> Expression:
        """Read an expression for a column."""
        with self.faults:
            return self._read(given, target, place)
        return Expression(op=Op.NULL, target=target, place=place)

    def _read(self, given: object, target: Column, place: Place) -> Expression:
        if isinstance(given, str):
            return Expression(op=Op.COLUMN, text=given, target=target, place=place)
        if given is None:
            action = f"{target.name} needs {accepted(target)}. {_NAME} {_example(given)}."
            raise misplaced_at(place, "no expression is given", action)
        if not isinstance(given, Mapping) or not given:
            action = f"{_NAME} {_example(given)}."
            raise misplaced_at(place, f"{given!r} is no expression", action)
        name = next((key for key in given if key in _WRITTEN), next(iter(given)))
        if name not in _WRITTEN:
            action = f"{meant([name], _WRITTEN)}Expressions: {', '.join(_WRITTEN)}."
            raise misplaced_at(place, f"there is no expression {name!r}", action)
        op = Op(name)
        besides = _BESIDES.get(op, ())
        if others := [key for key in given if key != name and key not in besides]:
            beside = f"Beside `{op}` may stand: {', '.join(besides)}." if besides else "Remove it."
            action = f"{meant(others[:1], besides)}{beside}"
            raise misplaced_at((*place, others[0]), f"{op} has no {others[0]!r}", action)
        needed = _ONE_OF.get(op, ())
        if needed and sum(key in given for key in needed) != 1:
            action = f"Write beside `{op}`: {', or '.join(_EXAMPLES[key] for key in needed)}."
            raise misplaced_at(place, f"{op} needs {' or '.join(needed)}", action)
        self._require_type(op, target, place)
        return self._made(op, given, target, place)

    def _require_type(self, op: Op, target: Column, place: Place) -> None:
        result = next((made for ops, made in _RESULTS.items() if op in ops), "")
        fits = (
            target.type is Type.CENTS
            if op in AMOUNTS
            else target.type in (Type.CENTS, Type.INTEGER)
            if op in ARITHMETIC
            else target.type is Type.TIMESTAMP
            if op in INSTANTS
            else target.type is Type.TEXT or op is not Op.CONCAT
        )
        if not fits:
            problem = f"{op} is {result}; {target.name} needs {accepted(target)}"
            raise misplaced_at(place, problem, "Write another expression, or a column as it is.")

    def _made(
        self, op: Op, given: Mapping[str, object], target: Column, place: Place
    ) -> Expression:
        at = (*place, op.value)
        made = Expression(op=op, target=target, place=place)
        if op in _LEAVES:
            return replace(made, text=_leaf(op, given[op], target, at))
        if op is Op.CASE:
            return self._case(made, given, at)
        if op in _MANY:
            return self._many(made, given, at)
        args = [self.read(given[op], _KINDS[op], at)]
        for name in _TAXES.keys() & given.keys():
            rate = given[name]
            rate = {"constant": rate} if isinstance(rate, (int, float)) else rate
            args.append(self.read(rate, _TAXES[name], (*place, name)))
        zone = self._zone(given, place) if op is Op.LOCAL_TIME else ""
        return replace(made, args=tuple(args), text=zone)

    def _case(self, made: Expression, given: Mapping[str, object], at: Place) -> Expression:
        values, inside = given["values"], (*made.place, "values")
        if not isinstance(values, Mapping) or not values:
            action = f"Write {_EXAMPLES['values']}."
            raise misplaced_at(inside, f"{values!r} is no list of `value: result`", action)
        found: dict[str, str] = {}
        for key, value in values.items():
            with self.faults:
                result = constant(value, made.target, (*inside, key))
                plain = key.rstrip(" ")
                if plain in found:
                    problem = f"{key!r} is given twice: spaces at the end do not count"
                    raise misplaced_at((*inside, key), problem, "Remove one of the two.")
                found[plain] = result
        args = [self.read(given[Op.CASE], _text_of(made), at)]
        if "otherwise" in given:
            args.append(self.read(given["otherwise"], made.target, (*made.place, "otherwise")))
        return replace(
            made, args=tuple(args), values=tuple(found.items()),
            has_otherwise="otherwise" in given,
        )  # fmt: skip

    def _many(self, made: Expression, given: Mapping[str, object], at: Place) -> Expression:
        inner = given[made.op]
        least = 1 if made.op is Op.CONCAT else 2
        most = least if made.op is Op.DIFFERENCE else None
        is_list = isinstance(inner, Sequence) and not isinstance(inner, str)
        if (
            not isinstance(inner, Sequence)
            or not is_list
            or not least <= len(inner) <= (most or len(inner))
        ):
            wanted = f"exactly {least}" if most else f"at least {least}"
            found = f"{len(inner)} of them" if isinstance(inner, list) else repr(inner)
            problem = f"{made.op} needs a list of {wanted} expressions, found {found}"
            raise misplaced_at(at, problem, f"Write {{{made.op}: [a, b]}}.")
        last = len(inner) - 1
        args = tuple(
            self.read(
                one,
                _WHOLE if made.op is Op.PRODUCT and number < last else _of(made),
                (*at, number),
            )
            for number, one in enumerate(inner)
        )
        separator = given.get("separator", "")
        if not isinstance(separator, str):
            problem = f"a separator is a text, found {separator!r}"
            action = 'Write it in quotes: separator: " ".'
            raise misplaced_at((*made.place, "separator"), problem, action)
        return replace(made, args=args, text=separator)

    def _zone(self, given: Mapping[str, object], place: Place) -> str:
        if "time_zone" not in given and not self.time_zone:
            # Without the column's name: it is one fault of the file, however often it shows.
            action = "Add such as `time_zone: Europe/Berlin` at the top of the file, or beside it."
            raise misplaced_at(place, "local_time needs a time_zone", action)
        zone = given.get("time_zone", self.time_zone)
        require_zone(zone, (*place, "time_zone"))
        return str(zone)


def _example(given: object) -> str:
    """Return the constant that a value was probably meant to be."""
    is_plain = isinstance(given, (bool, int, float, date))
    return f"{{constant: {str(given).lower() if is_plain else '…'}}}"


def _leaf(op: Op, inner: object, target: Column, at: Place) -> str:
    if op is Op.CONSTANT:
        return constant(inner, target, at)
    if op is Op.COMMIT_TIME and inner is not True:
        action = "Write {commit_time: true}."
        raise misplaced_at(at, f"commit_time is true, found {inner!r}", action)
    if op is Op.COLUMN and not isinstance(inner, str):
        raise misplaced_at(at, f"{inner!r} is no name of a column", "Write it in quotes.")
    return str(inner)


def require_zone(zone: object, place: Place) -> None:
    """Refuse what is no IANA time zone.

    Raises:
        MisplacedError: it is none.
    """
    if not isinstance(zone, str) or zone not in available_timezones():
        close = meant([str(zone)], available_timezones())
        action = f"{close}Write a name of the IANA database, such as Europe/Berlin or UTC."
        raise misplaced_at(place, f"there is no time zone {zone!r}", action)


def _text_of(made: Expression) -> Column:
    return replace(_PLAIN, name=made.target.name)


def _of(made: Expression) -> Column:
    """Return what the arguments are read as: parts of a text or an amount have no limits."""
    if made.op in ARITHMETIC:
        return replace(made.target, minimum=None, maximum=None)
    return _text_of(made) if made.op is Op.CONCAT else made.target


def _digits(given: object, target: Column, place: Place) -> str:
    """Return a number's digits, within the limits of the column.

    Raises:
        MisplacedError: it has more digits than the column, or is beyond its limits.
    """
    number = Decimal(str(given))
    digits = digits_of(target)
    action = f"{target.name} needs {accepted(target)}."
    if not number.is_finite() or abs(number) >= 10**_MOST_DIGITS:
        raise misplaced_at(place, f"{given!r} cannot be the {target.name}", action)
    if digits is not None and number != round(number, digits):
        problem = f"{given!r} has more than {digits} digits after the point"
        raise misplaced_at(place, problem, action)
    for name, bound in (("least", limit(target, "minimum")), ("most", limit(target, "maximum"))):
        if bound is not None and (number < bound if name == "least" else number > bound):
            problem = f"{given!r}: {target.name} is at {name} {bound:f}"
            raise misplaced_at(place, problem, action)
    return f"{number:f}"


def is_number_of(text: str, target: Column) -> bool:
    """Return whether a text is a number within the limits of a column."""
    try:
        _digits(text, target, ())
    except (DecimalException, MisplacedError):
        return False
    return target.type in _NUMBERS


def constant(given: object, target: Column, place: Place) -> str:
    """Return a constant as Debezium would write it.

    Raises:
        MisplacedError: it is not of the column's type, or none of its valid values.
    """
    is_flag = isinstance(given, bool)
    is_number = isinstance(given, (int, float)) and not is_flag
    kind = target.type
    fits = {
        Type.BOOLEAN: is_flag,
        Type.INTEGER: is_number and isinstance(given, int),
        Type.DATE: type(given) is date,
        Type.TEXT: isinstance(given, str) or is_number,
    }.get(kind, is_number and kind in _NUMBERS)
    needs = f"{target.name} needs {accepted(target)}."
    if not fits:
        raise misplaced_at(place, f"{given!r} cannot be the {target.name}", needs)
    if isinstance(given, date):
        return str(given.toordinal() - date(1970, 1, 1).toordinal())
    text = _digits(given, target, place) if is_number else str(given)
    text = text.lower() if is_flag else text
    most = target.most_bytes
    if (target.required and not text.strip()) or (most and len(text.encode()) > most):
        problem = f"a text of {len(text.encode()):,} bytes" if text.strip() else repr(text)
        raise misplaced_at(place, f"{problem} cannot be the {target.name}", needs)
    if target.cleaning is Cleaning.CHOICE and text not in target.allowed_values:
        action = f"{meant([text], target.allowed_values)}{needs}"
        raise misplaced_at(place, f"{text!r} is no {target.name}", action)
    return text
