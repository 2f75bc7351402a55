"""What a user gives as model -> the text of the model, or a sentence on what was given in its place."""

from __future__ import annotations

import re
from os import PathLike
from typing import Any

from mlsem_jax._errors import ModelError
from mlsem_jax.syntax._parser import parse
from mlsem_jax.syntax._tree import EXAMPLE, Syntax

_FILE = re.compile(r"[^\n~=<>]*\.(txt|lav|lavaan|r|rmd|inp|mplus|md|csv|json|dat|text|model)", re.IGNORECASE)


def read_model(model: Any, data: Any = None, call: str = "sem(model, data, cluster=...)") -> Syntax:
    """The statements of a model: of a text, of texts in a list or tuple (one line or more each), or parsed before.

    data: what was given as data, to tell arguments in the wrong order. call: how the function is called.

    **Raises:** ModelError where this is no text; ModelSyntaxError where it is no model.
    """
    if isinstance(model, Syntax):
        return model
    if isinstance(model, str):
        if _FILE.fullmatch(model.strip()):
            raise ModelError(_about_file(model.strip()))
        return parse(model)
    pieces = list(model) if isinstance(model, list | tuple) else []
    if pieces and all(isinstance(piece, str) for piece in pieces):
        return read_model("\n".join(pieces))
    raise ModelError(f"{_instead_of_text(model, data, call)} A model is a text, for example:\n{EXAMPLE}")


def _about_file(name: str) -> str:
    return (
        f"The model is a text, and {name!r} looks like the name of a file. Read the file first:"
        f" pathlib.Path({name!r}).read_text()."
    )


def _instead_of_text(model: Any, data: Any, call: str) -> str:
    kind = type(model).__name__
    columns = getattr(model, "columns", model if isinstance(model, dict) else None)
    if columns is not None and {"lhs", "op", "rhs"} <= {str(name) for name in columns}:
        return "A parameter table is given as model: turn it into a text with read_partable(table) and fit it with lavaan()."
    if isinstance(data, str | Syntax | list | tuple) and columns is not None:
        return f"The model and the data are in each other's place: write {call}."
    if isinstance(model, PathLike):
        return _about_file(str(model))
    if isinstance(model, bytes):
        return "The model is given as bytes: decode it first, model.decode()."
    if model is None:
        return "There is no model: it is None."
    if hasattr(model, "specification"):
        return f"A {kind} is given as model; a text is meant: that of a fit is fit.text."
    if (
        isinstance(model, dict)
        or hasattr(model, "ndim")
        or (isinstance(model, list | tuple) and model and not _texts(model))
    ):
        return (
            f"{kind} is given as model: matrices of a network or factor model are given to ml_lvm(data, lambda_=...) and its"
            " kin, or written as formulas here."
        )
    if isinstance(model, list | tuple):
        return (
            f"The model is {'an empty' if not model else 'a'} {kind}{' that holds more than texts' if model else ''}."
        )
    return f"{kind} is given as model."


def _texts(pieces: list | tuple) -> bool:
    return any(isinstance(piece, str) for piece in pieces)
