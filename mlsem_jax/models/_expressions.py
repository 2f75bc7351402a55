"""Arithmetic on parameter labels as a small tree that evaluates in JAX: the right-hand sides of `:=`, `==`, `<`, `>`.

The tree is built by a parser (`mlsem_jax.syntax`); user text is never handed to `eval`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

FUNCTIONS: dict[str, Callable] = {
    "exp": jnp.exp,
    "log": jnp.log,
    "log10": jnp.log10,
    "log2": jnp.log2,
    "log1p": jnp.log1p,
    "expm1": jnp.expm1,
    "sqrt": jnp.sqrt,
    "abs": jnp.abs,
    "sin": jnp.sin,
    "cos": jnp.cos,
    "tan": jnp.tan,
    "asin": jnp.arcsin,
    "acos": jnp.arccos,
    "atan": jnp.arctan,
    "sinh": jnp.sinh,
    "cosh": jnp.cosh,
    "tanh": jnp.tanh,
    # looked up when they are called: the module takes long to import
    "pnorm": lambda x: jax.scipy.stats.norm.cdf(x),
    "qnorm": lambda x: jax.scipy.stats.norm.ppf(x),
}

BINARY: dict[str, Callable] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "^": lambda a, b: a**b,
}


# how many operations may stand inside one another: what reads user text refuses more, as some steps are recursive
DEEPEST = 100
# longer chains of + and - or of * and / are halved again and again, so that they are shallow
_LONGEST_CHAIN = 16


class _Node:
    """What all kinds of nodes share."""

    def evaluate(self, values: Mapping[str, jax.Array], shared: Shared | None = None):
        """The value of the expression. shared: what was evaluated before with the same values, filled further."""
        return evaluated(self, values, shared)  # type: ignore[arg-type]

    def names(self) -> frozenset[str]:
        """The labels that occur."""
        return frozenset(node.name for node in postorder(self) if isinstance(node, Name))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Number(_Node):
    """A literal."""

    value: float

    def __str__(self) -> str:
        return repr(float(self.value)).removesuffix(".0")


@dataclass(frozen=True)
class Name(_Node):
    """A parameter label, or a quantity defined earlier by `:=`. Line and column (from 1) are kept for messages."""

    name: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Binary(_Node):
    """left operator right, with operator one of + - * / ^."""

    operator: str
    left: Expression
    right: Expression

    def __str__(self) -> str:
        return f"({self.left}{self.operator}{self.right})"


@dataclass(frozen=True)
class Call(_Node):
    """One of FUNCTIONS applied to one argument; 'neg' is unary minus."""

    function: str
    argument: Expression

    def __str__(self) -> str:
        return f"(-{self.argument})" if self.function == "neg" else f"{self.function}({self.argument})"


Expression = Number | Name | Binary | Call
Shared = dict[tuple, tuple[int, Any]]


def children(node: Expression) -> tuple[Expression, ...]:
    """What the node operates on, left to right."""
    if isinstance(node, Binary):
        return (node.left, node.right)
    return (node.argument,) if isinstance(node, Call) else ()


def symbol(node: Binary | Call) -> str:
    """The operator or function of a node."""
    return node.operator if isinstance(node, Binary) else node.function


def postorder(expression: Expression) -> list[Expression]:
    """Every node after what it operates on, left before right."""
    waiting, found = [expression], []
    while waiting:
        node = waiting.pop()
        found.append(node)
        waiting.extend(children(node))
    return found[::-1]


def depth(expression: Expression) -> int:
    """How many operations stand inside one another at most; 0 for a label."""
    done: list[int] = []
    for node in postorder(expression):
        count = len(children(node))
        inside = done[len(done) - count :]
        done[len(done) - count :] = [1 + max(inside) if inside else 0]
    return done[-1]


def chained(first: Expression, rest: Sequence[tuple[str, Expression]]) -> Expression:
    """first op second op third ..., from left to right; the operators are all + and -, all * and /, or ^.

    A long chain becomes a tree of half-chains, a + b - c + d = (a + b) - (c - d): as many operations, few inside one another.
    """
    if len(rest) < _LONGEST_CHAIN:
        for operator, operand in rest:
            first = Binary(operator, first, operand)
        return first
    return _halved([("", first), *rest])


_INVERSE = {"+": "-", "-": "+", "*": "/", "/": "*", "^": "^"}


def _halved(chain: list[tuple[str, Expression]]) -> Expression:
    """Halves are cut at powers of two, so that what repeats in the chain gives equal halves, evaluated once."""
    if len(chain) == 1:
        return chain[0][1]
    half = 1 << ((len(chain) - 1).bit_length() - 1)
    operator, right = chain[half][0], chain[half:]
    if operator in "-/":
        right = [(_INVERSE[op], operand) for op, operand in right]
    return Binary(operator, _halved(chain[:half]), _halved(right))


def evaluated(expression: Expression, values: Mapping[str, jax.Array], shared: Shared | None = None) -> Any:
    """The value of an expression; what occurs in it several times is computed once.

    So a program that JAX compiles grows with what is different in the text, not with what is repeated.
    """
    shared = {} if shared is None else shared
    done: list[tuple[int, Any]] = []
    for node in postorder(expression):
        count = len(children(node))
        inside = done[len(done) - count :]
        key = _key(node, [number for number, _ in inside])
        if key not in shared:
            shared[key] = (len(shared), _computed(node, [value for _, value in inside], values))
        done[len(done) - count :] = [shared[key]]
    return done[-1][1]


def _key(node: Expression, inside: list[int]) -> tuple:
    match node:
        case Number(value):
            return ("number", value)
        case Name(name):
            return ("name", name)
    return (symbol(node), *inside)


def _computed(node: Expression, inside: list[Any], values: Mapping[str, jax.Array]) -> Any:
    match node:
        case Number(value):
            return value
        case Name(name):
            return values[name]
        case Call("neg", _):
            return -inside[0]
        case Call(function, _):
            return FUNCTIONS[function](inside[0])
    if all(isinstance(value, float) for value in inside):
        # labels of fixed parameters stand here as numbers: infinite where they divide by 0, as arrays would be
        inside = [np.float64(value) for value in inside]
    with np.errstate(all="ignore"):
        return BINARY[symbol(node)](*inside)
