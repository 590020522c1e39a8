"""Conditions of contracts, such as `quantity * price_cents == total_cents`: what they may say."""

import ast
from collections.abc import Callable, Mapping
from functools import partial, reduce
from operator import add, and_, eq, ge, gt, le, lt, mul, ne, sub
from typing import Any

_OPERATORS: Mapping[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: add, ast.Sub: sub, ast.Mult: mul, ast.Eq: eq, ast.NotEq: ne, ast.Lt: lt, ast.LtE: le,
    ast.Gt: gt, ast.GtE: ge, ast.And: and_,
}  # fmt: skip


def computed(node: ast.expr, column: Callable[[str], Any]) -> Any:  # noqa: ANN401 - column's result
    """Compute a condition, or a part of one.

    Args:
        node: its syntax tree.
        column: returns the value of a column, or the expression that stands for it.

    Raises:
        ValueError: it has what no condition may have.
    """
    part = partial(computed, column=column)
    match node:
        case ast.Name(id=name):
            return column(name)
        case ast.Constant(value=int() as number):
            return number
        case (
            ast.BinOp(left=left, op=operator, right=right)
            | ast.Compare(left=left, ops=[operator], comparators=[right])
        ) if type(operator) in _OPERATORS:
            return _OPERATORS[type(operator)](part(left), part(right))
        case ast.BoolOp(op=ast.And(), values=values):
            return reduce(and_, map(part, values))
        case _:
            message = f"not possible in a rule: {ast.unparse(node)}"
            raise ValueError(message)
