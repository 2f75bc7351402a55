"""Constraints on the natural parameters: linear equalities become a basis of their solutions, the rest stay functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._errors import ModelError, nearest
from mlsem_jax.models._expressions import Binary, Call, Expression, Name, Number, Shared, children, postorder
from mlsem_jax.models._specification import Constraint, Definition, Specification


def degree(expression: Expression) -> int:
    """Polynomial degree in the labels; 2 stands for everything that is not linear."""
    done: list[int] = []
    for node in postorder(expression):
        count = len(children(node))
        inside = done[len(done) - count :]
        done[len(done) - count :] = [_degree_step(node, inside)]
    return done[-1]


def _degree_step(node: Expression, inside: list[int]) -> int:
    match node:
        case Number():
            return 0
        case Name():
            return 1
        case Call("neg", _):
            return inside[0]
        case Binary("+" | "-", _, _):
            return max(inside)
        case Binary("*", _, _):
            return min(sum(inside), 2)
        case Binary("/", _, _) if inside[1] == 0:
            return inside[0]
    return 2 if any(inside) else 0


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
    shared: Shared = {}
    for definition in definitions:
        values[definition.name] = definition.expression.evaluate(values, shared)
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
        shared: Shared = {}
        sides = [(c.left.evaluate(values, shared), c.right.evaluate(values, shared)) for c in constraints]
        out = [
            right - left if c.op == "<" else left - right for c, (left, right) in zip(constraints, sides, strict=True)
        ]
        return jnp.stack([jnp.asarray(value, natural.dtype) for value in out]) if out else jnp.zeros(0, natural.dtype)

    return residuals


def linear_form(expression: Expression, labels: Mapping[str, int], k: int) -> np.ndarray:
    """Coefficients of the parameters, then the constant (k + 1,), of an expression whose degree is at most 1."""
    done: list[dict[int, float]] = []  # -1 stands for the constant
    for node in postorder(expression):
        count = len(children(node))
        inside = done[len(done) - count :]
        done[len(done) - count :] = [_linear_step(node, inside, labels)]
    row = np.zeros(k + 1)
    for i, value in done[-1].items():
        row[i] = value
    return row


def _linear_step(node: Expression, inside: list[dict[int, float]], labels: Mapping[str, int]) -> dict[int, float]:
    if isinstance(node, Name):
        return {labels[node.name]: 1.0}
    if isinstance(node, Binary) and node.operator in "+-":
        sign = 1.0 if node.operator == "+" else -1.0
        left, right = inside
        return left | {i: left.get(i, 0.0) + sign * value for i, value in right.items()}
    if isinstance(node, Call) and node.function == "neg":
        return {i: -value for i, value in inside[0].items()}
    if isinstance(node, Binary) and node.operator in "*/" and set().union(*inside) - {-1}:
        left, right = inside if node.operator == "/" or not set(inside[1]) - {-1} else inside[::-1]
        factor = right.get(-1, 0.0)
        return {i: value * factor if node.operator == "*" else np.float64(value) / factor for i, value in left.items()}
    # what is left holds no parameter
    values = [Number(each.get(-1, 0.0)) for each in inside]
    match node:
        case Call(function, _):
            node = Call(function, *values)
        case Binary(operator, _, _):
            node = Binary(operator, *values)
    return {-1: float(np.asarray(node.evaluate({})))}


def solve_linear(
    constraints: Sequence[Constraint], labels: Mapping[str, int], k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """offset (k,), basis (k, q) and the kept parameters (q,) with natural = offset + basis @ natural[kept].

    Gauss-Jordan elimination with the last parameter of each constraint as its pivot, so that theta stays made of parameters
    that a user knows by name. Raises ModelError for constraints that contradict each other.
    """
    rows: np.ndarray = np.zeros((0, k + 1))  # reduced: each has 1 in its own pivot's column and 0 in the others'
    pivots: list[int] = []
    with jax.enable_x64(True):
        for c in constraints:
            row = linear_form(c.left, labels, k) - linear_form(c.right, labels, k)
            row = row - row[pivots] @ rows
            # what is left of the constraint decides
            size = np.abs(row[:k])
            if size.max(initial=0.0) < 1e-10:
                if abs(row[k]) > 1e-10:
                    raise ModelError(f"The constraint {c.text!r} contradicts the others: no values satisfy them.")
                continue
            pivot = int(np.flatnonzero(size > 1e-3 * size.max())[-1])
            row = row / row[pivot]
            rows = np.concatenate([rows - np.outer(rows[:, pivot], row), row[None, :]])
            pivots.append(pivot)
    kept = np.array([i for i in range(k) if i not in pivots], int)
    basis = np.zeros((k, len(kept)))
    basis[kept, np.arange(len(kept))] = 1.0
    offset = np.zeros(k)
    basis[pivots] = -rows[:, kept]
    offset[pivots] = -rows[:, k]
    return offset, basis, kept
