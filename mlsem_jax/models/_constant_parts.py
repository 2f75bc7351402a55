"""The parts of an expression that hold no label: their values in plain floating point, with errors in place of infinities."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

from mlsem_jax.models._expressions import FUNCTIONS, Binary, Call, Expression, Name, Number, children, postorder, symbol


def _normal():
    from statistics import NormalDist  # slow to import, and few models have constraints

    return NormalDist()


_PLAIN: dict[str, Callable[..., float]] = {
    **{name: getattr(math, name) for name in FUNCTIONS if hasattr(math, name)},
    "abs": abs,
    "pnorm": lambda x: _normal().cdf(x),
    "qnorm": lambda x: _normal().inv_cdf(x),
    "neg": operator.neg,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "^": operator.pow,
}


def constant(expression: Expression) -> float:
    """The value of an expression without labels, in plain floating point.

    **Raises:** ValueError where it holds a label or has no finite value.
    """
    done: list[float] = []
    for node in postorder(expression):
        match node:
            case Number(value):
                done.append(value)
            case Name():
                raise ValueError("a modifier in parentheses must be a number")
            case Call(function, _):
                done[-1] = _applied(_PLAIN[function], done[-1])
            case Binary(operator, _, _):
                right = done.pop()
                done[-1] = _applied(_PLAIN[operator], done[-1], right)
    return done[-1]


def _applied(function: Callable[..., float], *values: float) -> float:
    try:
        result = function(*values)
    except (ArithmeticError, ValueError):
        result = math.nan
    # a power of a negative number may be complex
    if isinstance(result, complex) or not math.isfinite(result):
        raise ValueError("it has no finite value")
    return result


def constants_problem(expression: Expression) -> str:
    """What is wrong with the parts that hold no label, '' if nothing is."""
    done: list[float | None] = []
    for node in postorder(expression):
        count = len(children(node))
        inside = [done.pop() for _ in range(count)][::-1]
        known = [value for value in inside if value is not None]
        if isinstance(node, Name) or len(known) < count:
            divides = isinstance(node, Binary) and node.operator == "/" and inside[1] == 0.0
            if divides:
                return "This divides by 0."
            done.append(None)
            continue
        try:
            done.append(node.value if isinstance(node, Number) else _applied(_PLAIN[symbol(node)], *known))
        except ValueError:
            return "A part of this without labels has no finite value (a logarithm of 0, a division by 0, an overflow)."
    return ""
