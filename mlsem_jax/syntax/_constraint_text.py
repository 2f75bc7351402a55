"""Constraints written apart from a model text, for tests of a fit that exists."""

from __future__ import annotations

from collections.abc import Iterable

from mlsem_jax._errors import ModelError, ModelSyntaxError
from mlsem_jax.models import Constraint, Definition
from mlsem_jax.syntax._constraints import checked_constraints
from mlsem_jax.syntax._parser import parse

_LABELS = (
    "Constraints are of labels, not of names such as f=~y2: give the parameters labels in the model text (f =~ y1 + a*y2 + b*y3) "
    "and write 'a == b'."
)


def read_constraints(
    text: str, labels: Iterable[str], definitions: tuple[Definition, ...] = ()
) -> tuple[Constraint, ...]:
    """The constraints of a text such as "a == b; c == 0" in terms of labels alone; defined quantities may occur in them.

    **Raises:** ModelSyntaxError for an unknown label, ModelError where the text holds anything but constraints.
    """
    if isinstance(text, list | tuple) and text and all(isinstance(piece, str) for piece in text):
        text = "\n".join(text)
    if not isinstance(text, str):
        raise ModelError(f"Constraints are a text, such as 'a == b; c == 0', not {type(text).__name__}.")
    try:
        syntax = parse(text)
    except ModelSyntaxError as error:
        if "~" not in text:
            raise
        # names of parameters hold the operators of the language, so that an expression cannot
        raise ModelSyntaxError(f"{error}\n{_LABELS}") from None
    if len(syntax.constraints) != len(syntax.statements):
        hint = f" {_LABELS}" if "~" in text else " Write equalities of labels, such as 'a == b; c == 0'."
        raise ModelError(f"{text!r} holds more than constraints.{hint}")
    return checked_constraints(syntax, labels, definitions)
