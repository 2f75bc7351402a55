"""Constraints on the natural parameters: linear equalities become a basis of their solutions, the rest stay functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._errors import ModelError, nearest
from mlsem_jax.models._expressions import Binary, Call, Expression, Name, Number
from mlsem_jax.models._specification import Constraint, Definition, Specification


def degree(expression: Expression) -> int:
    """Polynomial degree in the labels; 2 stands for everything that is not linear."""
    if isinstance(expression, Number):
        return 0
    if isinstance(expression, Call):
        inside = degree(expression.argument)
        return inside if expression.function == "neg" else (2 if inside else 0)
    if isinstance(expression, Binary):
        left, right = degree(expression.left), degree(expression.right)
        if expression.operator in "+-":
            return max(left, right)
        if expression.operator == "*":
            return min(left + right, 2)
        return left if right == 0 and expression.operator == "/" else (2 if left or right else 0)
    return 1


def is_linear(constraint: Constraint) -> bool:
    return max(degree(constraint.left), degree(constraint.right)) <= 1


def substitute(expression: Expression, constants: Mapping[str, float]) -> Expression:
    """The same expression with labels of fixed parameters replaced by what they are fixed at."""
    if isinstance(expression, Binary):
        left, right = substitute(expression.left, constants), substitute(expression.right, constants)
        return Binary(expression.operator, left, right)
    if isinstance(expression, Call):
        return Call(expression.function, substitute(expression.argument, constants))
    if isinstance(expression, Name) and expression.name in constants:
        return Number(constants[expression.name])
    return expression


def with_constants(specification: Specification, constants: Mapping[str, float]) -> Specification:
    """The specification with the labels of fixed parameters replaced in its constraints and definitions."""
    if not constants:
        return specification
    return specification.but(
        constraints=tuple(
            replace(c, left=substitute(c.left, constants), right=substitute(c.right, constants))
            for c in specification.constraints
        ),
        definitions=tuple(
            replace(d, expression=substitute(d.expression, constants)) for d in specification.definitions
        ),
    )


def values_by_label(
    natural: jax.Array, labels: Mapping[str, int], definitions: Sequence[Definition] = ()
) -> dict[str, jax.Array]:
    """Every label with its value, then every `:=` quantity in order."""
    values: dict[str, jax.Array] = {name: natural[i] for name, i in labels.items()}
    for definition in definitions:
        values[definition.name] = definition.expression.evaluate(values)
    return values


def check_names(
    constraints: Sequence[Constraint], definitions: Sequence[Definition], labels: Mapping[str, int]
) -> None:
    """Every name in a constraint or definition must be a label of the model or a quantity defined before."""
    known = set(labels)

    def check(names, text):
        for name in sorted(names):
            if name not in known:
                raise ModelError(
                    f"{text}: {name!r} is no label of the model.{nearest(name, known)} "
                    f"Label a parameter by writing it before the variable: {name}*x."
                )

    for definition in definitions:
        check(definition.expression.names(), definition.text or definition.name + " := ...")
        known.add(definition.name)
    for constraint in constraints:
        check(constraint.left.names() | constraint.right.names(), constraint.text)


def residual_function(
    constraints: Sequence[Constraint], labels: Mapping[str, int], definitions: Sequence[Definition] = ()
) -> Callable[[jax.Array], jax.Array]:
    """natural (k,) -> left - right of each constraint, with the sign that makes an inequality 'residual >= 0'."""

    def residuals(natural: jax.Array) -> jax.Array:
        values = values_by_label(natural, labels, definitions)
        out = [
            (c.right.evaluate(values) - c.left.evaluate(values))
            if c.op == "<"
            else (c.left.evaluate(values) - c.right.evaluate(values))
            for c in constraints
        ]
        return jnp.stack([jnp.asarray(value, natural.dtype) for value in out]) if out else jnp.zeros(0, natural.dtype)

    return residuals


def solve_linear(
    constraints: Sequence[Constraint], labels: Mapping[str, int], k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """offset (k,), basis (k, q) and the kept parameters (q,) with natural = offset + basis @ natural[kept].

    Gauss-Jordan elimination with the last parameter of each constraint as its pivot, so that theta stays made of parameters
    that a user knows by name. Raises ModelError for constraints that contradict each other.
    """
    function = residual_function(constraints, labels)
    with jax.enable_x64(True):
        zero = jnp.zeros(k)
        a, b = np.array(jax.jacfwd(function)(zero)), np.array(function(zero))
    a = np.concatenate([a, b[:, None]], axis=1)
    pivots: list[int] = []
    for i in range(len(a)):
        # rows above are reduced already; what is left of this one decides
        size = np.abs(a[i, :k])
        if size.max(initial=0.0) < 1e-10:
            if abs(a[i, k]) > 1e-10:
                raise ModelError(
                    f"The constraint {constraints[i].text!r} contradicts the others: no values satisfy them."
                )
            continue
        candidates = np.flatnonzero(size > 1e-3 * size.max())
        pivot = int(candidates[-1])
        a[i] /= a[i, pivot]
        for other in range(len(a)):
            if other != i:
                a[other] -= a[other, pivot] * a[i]
        pivots.append(pivot)
    kept = np.array([i for i in range(k) if i not in pivots], int)
    basis = np.zeros((k, len(kept)))
    basis[kept, np.arange(len(kept))] = 1.0
    offset = np.zeros(k)
    for row in a:
        if np.abs(row[:k]).max(initial=0.0) > 1e-10:
            pivot = next(
                i for i in pivots if abs(row[i] - 1.0) < 1e-12 and all(abs(row[j]) < 1e-12 for j in pivots if j != i)
            )
            basis[pivot] = -row[:k][kept]
            offset[pivot] = -row[k]
    return offset, basis, kept
