"""Arithmetic on parameter labels as a small tree that evaluates in JAX: the right-hand sides of `:=`, `==`, `<`, `>`.

The tree is built by a parser (`mlsem_jax.syntax`); user text is never handed to `eval`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp

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
    "pnorm": jax.scipy.stats.norm.cdf,
    "qnorm": jax.scipy.stats.norm.ppf,
}

_BINARY: dict[str, Callable] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "^": lambda a, b: a**b,
}


@dataclass(frozen=True)
class Number:
    """A literal."""

    value: float

    def evaluate(self, values: Mapping[str, jax.Array]):
        return self.value

    def names(self) -> frozenset[str]:
        return frozenset()

    def __str__(self) -> str:
        return f"{self.value:g}"


@dataclass(frozen=True)
class Name:
    """A parameter label, or a quantity defined earlier by `:=`. Line and column (from 1) are kept for messages."""

    name: str
    line: int = 0
    column: int = 0

    def evaluate(self, values: Mapping[str, jax.Array]):
        return values[self.name]

    def names(self) -> frozenset[str]:
        return frozenset((self.name,))

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Binary:
    """left operator right, with operator one of + - * / ^."""

    operator: str
    left: Expression
    right: Expression

    def evaluate(self, values: Mapping[str, jax.Array]):
        return _BINARY[self.operator](self.left.evaluate(values), self.right.evaluate(values))

    def names(self) -> frozenset[str]:
        return self.left.names() | self.right.names()

    def __str__(self) -> str:
        return f"({self.left}{self.operator}{self.right})"


@dataclass(frozen=True)
class Call:
    """One of FUNCTIONS applied to one argument; 'neg' is unary minus."""

    function: str
    argument: Expression

    def evaluate(self, values: Mapping[str, jax.Array]):
        inside = self.argument.evaluate(values)
        return -inside if self.function == "neg" else FUNCTIONS[self.function](inside)

    def names(self) -> frozenset[str]:
        return self.argument.names()

    def __str__(self) -> str:
        return f"(-{self.argument})" if self.function == "neg" else f"{self.function}({self.argument})"


Expression = Number | Name | Binary | Call
