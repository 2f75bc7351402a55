"""Values and first derivatives of expressions in NumPy, step by step: no program is traced or compiled for them.

For one vector of parameters. What is mapped over or differentiated further goes by `values_by_label` and JAX.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mlsem_jax.models._expressions import Binary, Call, Expression, Name, Number, children, postorder, symbol
from mlsem_jax.models._specification import Constraint, Definition
from mlsem_jax.numerics import normal_cdf, normal_quantile

# a value and its derivatives (k,); None where it depends on no parameter
Dual = tuple[np.float64, np.ndarray | None]
_NORMAL = math.sqrt(2 * math.pi)


def _normal_density(x: np.float64) -> np.float64:
    return np.exp(-0.5 * x * x) / _NORMAL


# function: (value, derivative)
_RULES: dict[str, tuple[Callable, Callable]] = {
    "neg": (np.negative, lambda x: -1.0),
    "exp": (np.exp, np.exp),
    "log": (np.log, lambda x: 1 / x),
    "log10": (np.log10, lambda x: 1 / (x * math.log(10))),
    "log2": (np.log2, lambda x: 1 / (x * math.log(2))),
    "log1p": (np.log1p, lambda x: 1 / (1 + x)),
    "expm1": (np.expm1, np.exp),
    "sqrt": (np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    "abs": (np.abs, np.sign),
    "sin": (np.sin, np.cos),
    "cos": (np.cos, lambda x: -np.sin(x)),
    "tan": (np.tan, lambda x: 1 + np.tan(x) ** 2),
    "asin": (np.arcsin, lambda x: 1 / np.sqrt(1 - x * x)),
    "acos": (np.arccos, lambda x: -1 / np.sqrt(1 - x * x)),
    "atan": (np.arctan, lambda x: 1 / (1 + x * x)),
    "sinh": (np.sinh, np.cosh),
    "cosh": (np.cosh, np.sinh),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "pnorm": (normal_cdf, _normal_density),
    "qnorm": (normal_quantile, lambda x: 1 / _normal_density(normal_quantile(x))),
}


class Slopes:
    """Labels and `:=` quantities with their values and derivatives, at natural parameters (k,)."""

    def __init__(self, natural: np.ndarray, labels: Mapping[str, int], definitions: Sequence[Definition] = ()):
        self.k = len(natural)
        self._shared: dict[tuple, tuple[int, Dual]] = {}
        self._natural, self._labels = np.asarray(natural, float), labels
        self._defined: dict[str, Dual] = {}
        for definition in definitions:
            self._defined[definition.name] = self.of(definition.expression)

    def of(self, expression: Expression) -> Dual:
        """The value of an expression and its derivatives in the natural parameters; what is repeated is computed once."""
        done: list[tuple[int, Dual]] = []
        with np.errstate(all="ignore"):
            for node in postorder(expression):
                count = len(children(node))
                inside = done[len(done) - count :]
                if isinstance(node, Name):
                    key: tuple = ("name", node.name)
                else:
                    key = (
                        ("number", node.value) if isinstance(node, Number) else (symbol(node), *(n for n, _ in inside))
                    )
                if key not in self._shared:
                    self._shared[key] = (len(self._shared), self._step(node, [dual for _, dual in inside]))
                done[len(done) - count :] = [self._shared[key]]
        return done[-1][1]

    def defined(self, name: str) -> Dual:
        """A `:=` quantity."""
        return self._defined[name]

    def stacked(self, duals: Sequence[Dual]) -> tuple[np.ndarray, np.ndarray]:
        """Values (n,) and Jacobian (n, k)."""
        jacobian = np.zeros((len(duals), self.k))
        for row, (_, slope) in zip(jacobian, duals, strict=True):
            if slope is not None:
                row[:] = slope
        return np.array([value for value, _ in duals], float).reshape(len(duals)), jacobian

    def _step(self, node: Expression, inside: list[Dual]) -> Dual:
        match node:
            case Number(value):
                return np.float64(value), None
            case Name(name) if name in self._defined:
                return self._defined[name]
            case Name(name):
                unit = np.zeros(self.k)
                unit[self._labels[name]] = 1.0
                return np.float64(self._natural[self._labels[name]]), unit
            case Call(function, _):
                rule, derivative = _RULES[function]
                ((x, slope),) = inside
                return rule(x), None if slope is None else derivative(x) * slope
        return _binary(node, *inside)


def _binary(node: Binary, left: Dual, right: Dual) -> Dual:
    (a, da), (b, db) = left, right
    match node.operator:
        case "+":
            return a + b, _sum((1.0, da), (1.0, db))
        case "-":
            return a - b, _sum((1.0, da), (-1.0, db))
        case "*":
            return a * b, _sum((b, da), (a, db))
        case "/":
            return a / b, _sum((1 / b, da), (-a / (b * b), db))
    value = a**b
    by_base = 0.0 if b == 0 else b * a ** (b - 1)
    by_power = 0.0 if db is None or (a == 0 and b > 0) else value * np.log(a)
    return value, _sum((by_base, da), (by_power, db))


def _sum(*parts: tuple[float, np.ndarray | None]) -> np.ndarray | None:
    present = [factor * slope for factor, slope in parts if slope is not None]
    return sum(present[1:], present[0]) if present else None


def defined_with_jacobian(
    natural: np.ndarray, labels: Mapping[str, int], definitions: Sequence[Definition]
) -> tuple[np.ndarray, np.ndarray]:
    """The `:=` quantities (d,) and their Jacobian (d, k) in the natural parameters (k,)."""
    slopes = Slopes(natural, labels, definitions)
    return slopes.stacked([slopes.defined(d.name) for d in definitions])


def residuals_with_jacobian(
    natural: np.ndarray,
    constraints: Sequence[Constraint],
    labels: Mapping[str, int],
    definitions: Sequence[Definition] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """What `residual_function` gives (c,), and its Jacobian (c, k) in the natural parameters (k,)."""
    slopes = Slopes(natural, labels, definitions)
    duals = []
    for c in constraints:
        sides = [slopes.of(c.right), slopes.of(c.left)] if c.op == "<" else [slopes.of(c.left), slopes.of(c.right)]
        duals.append(_binary(_DIFFERENCE, *sides))
    return slopes.stacked(duals)


_DIFFERENCE = Binary("-", Name("left"), Name("right"))
