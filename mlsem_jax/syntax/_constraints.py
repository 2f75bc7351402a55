"""Constraints and definitions of a model text, checked against the labels that its parameters have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mlsem_jax._errors import ModelSyntaxError, listing, nearest
from mlsem_jax.models import (
    DEEPEST,
    Constraint,
    Definition,
    Expression,
    Name,
    Number,
    children,
    constants_problem,
    postorder,
)
from mlsem_jax.syntax._expression_parser import names_with_positions, substitute
from mlsem_jax.syntax._tree import Syntax

# how many operations the constraints may have together when the quantities in them are replaced by their definitions
_ROOM = 100_000


def checked_definitions(
    syntax: Syntax, labels: Iterable[str], fixed: Mapping[str, float] | None = None
) -> tuple[Definition, ...]:
    """The definitions in an order in which each uses only labels and quantities defined before it.

    fixed: labels of fixed parameters with their values.

    **Raises:** ModelSyntaxError for an unknown label, a name defined twice, a circle of definitions, or one without a value.
    """
    labels = set(labels)
    by_name: dict[str, Definition] = {}
    for definition in syntax.definitions:
        name = definition.name
        if name in by_name or name in labels:
            what = "is already the label of a parameter" if name in labels else "is defined twice"
            message = f"'{name}' {what}: give this quantity a name of its own."
            raise ModelSyntaxError(message, syntax.text, definition.line, definition.column)
        by_name[name] = definition
    known = labels | set(by_name)
    uses = {name: _checked_names(d.expression, known, labels, syntax) for name, d in by_name.items()}
    if fixed:
        for d in by_name.values():
            check_constants(d.expression, fixed, syntax, (d.line, d.column))
    return tuple(by_name[name] for name in _ordered(by_name, uses, syntax))


def check_constants(expression: Expression, fixed: Mapping[str, float], syntax: Syntax, where: tuple[int, int]) -> None:
    """**Raises:** ModelSyntaxError where a part of the expression has no value because labels in it are fixed (1/b, b at 0)."""
    used = {name: fixed[name] for name in sorted(expression.names()) if name in fixed}
    if not used:
        return
    if problem := constants_problem(substitute(expression, {name: Number(value) for name, value in used.items()})):
        said = listing(f"{name} is fixed at {value:g}" for name, value in used.items())
        raise ModelSyntaxError(f"{problem} Here {said}.", syntax.text, *where)


def _ordered(by_name: dict[str, Definition], uses: dict[str, list[str]], syntax: Syntax) -> Iterable[str]:
    """The names so that each comes after those it uses. A walk with a path of its own, as chains may be long."""
    ordered: dict[str, None] = {}
    for first in by_name:
        path = {first: iter(uses[first])} if first not in ordered else {}
        while path:
            name = next(reversed(path))
            following = next((n for n in path[name] if n in by_name and n not in ordered), None)
            if following is None:
                ordered[name] = None
                del path[name]
            elif following in path:
                circle = list(path)[list(path).index(following) :]
                shown = circle if len(circle) <= 6 else [*circle[:5], "..."]
                message = f"'{following}' is defined by itself: {' -> '.join([*shown, following])}."
                definition = by_name[following]
                raise ModelSyntaxError(message, syntax.text, definition.line, definition.column)
            else:
                path[following] = iter(uses[following])
    return ordered


def checked_constraints(
    syntax: Syntax,
    labels: Iterable[str],
    definitions: tuple[Definition, ...],
    fixed: Mapping[str, float] | None = None,
) -> tuple[Constraint, ...]:
    """The written constraints in terms of labels alone: defined quantities are replaced by their expressions.

    **Raises:** ModelSyntaxError for an unknown label, a constraint without any, or one that becomes too large.
    """
    labels = set(labels)
    replaced = _Replaced(definitions)
    known = labels | set(replaced.expressions)
    checked = []
    for c in syntax.constraints:
        names = [name for side in (c.left, c.right) for name in _checked_names(side, known, labels, syntax)]
        if not names:
            message = f"'{c.text}' holds no parameter label, so it constrains nothing."
            raise ModelSyntaxError(message, syntax.text, c.line, c.column)
        left, right = replaced.within(c.left), replaced.within(c.right)
        if left is None or right is None:
            message = (
                "This constraint is too large once the quantities in it are replaced by their definitions: write it in"
                " labels, or simplify the definitions."
            )
            raise ModelSyntaxError(message, syntax.text, c.line, c.column)
        for side in (left, right) if fixed else ():
            check_constants(side, fixed, syntax, (c.line, c.column))  # type: ignore[arg-type]
        checked.append(Constraint(left, c.op, right, c.text, c.line, c.column))
    return tuple(checked)


class _Replaced:
    """Expressions with the names of definitions replaced by what they stand for.

    Size and depth are counted before a constraint is replaced: a definition of twice another, and so on, doubles each time.
    """

    def __init__(self, definitions: tuple[Definition, ...]):
        self.expressions: dict[str, Expression] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        self._room = _ROOM
        for d in definitions:  # each after those it uses
            self._sizes[d.name] = self._size(d.expression)
            # shares what it replaces, so it takes no more than its own text
            self.expressions[d.name] = substitute(d.expression, self.expressions)

    def within(self, expression: Expression) -> Expression | None:
        """The expression in labels alone; None where it, or all of them together, would be too large."""
        if expression.names().isdisjoint(self.expressions):
            return expression
        size, depth = self._size(expression)
        self._room -= size
        return None if self._room < 0 or depth > DEEPEST else substitute(expression, self.expressions)

    def _size(self, expression: Expression) -> tuple[int, int]:
        """Number of nodes and depth after replacing."""
        done: list[tuple[int, int]] = []
        for node in postorder(expression):
            count = len(children(node))
            inside = done[len(done) - count :]
            if isinstance(node, Name):
                mine = self._sizes.get(node.name, (1, 0))
            else:
                mine = (1 + sum(size for size, _ in inside), max((1 + deep for _, deep in inside), default=0))
            done[len(done) - count :] = [mine]
        return done[-1]


def _checked_names(expression: Expression, known: set[str], labels: set[str], syntax: Syntax) -> list[str]:
    """The names in an expression, all of them known."""
    names = names_with_positions(expression)
    for name in names:
        if name.name not in known:
            have = f"Labels are {listing(sorted(labels))}." if labels else "No parameter has a label."
            message = (
                f"'{name.name}' is not the label of a parameter.{nearest(name.name, known)} {have}"
                f" A label is written before a variable, as in {name.name}*x."
            )
            raise ModelSyntaxError(message, syntax.text, name.line, name.column)
    return [name.name for name in names]
