"""psychonetrics' pattern arguments as arrays of integers: what cannot be read is an error, nothing is guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlsem_jax._errors import ModelError, nearest
from mlsem_jax.networks._layout import Matrix

KEYWORDS = ("full", "diag", "zero")


def read_pattern(matrix: Matrix, given: Any, groups: tuple[str, ...]) -> np.ndarray:
    """The pattern of a matrix, (G, rows, cols): 0 fixed at zero, 1 free, k >= 2 equal to every other k of the matrix.

    given: a keyword, one pattern for all groups, or one for each (a list, a dict by group label, an array with a group axis,
    first, or last as in R). Of symmetric matrices the lower triangle counts and the upper one must not contradict it.
    """
    shape = (len(matrix.rows), max(len(matrix.cols), 1))
    count = max(len(groups), 1)
    if isinstance(given, str):
        return np.repeat(_keyword(matrix, given, shape)[None], count, axis=0)
    layers = [_layer(matrix, layer, shape) for layer in split_groups(matrix.name, given, shape, groups)]
    return np.stack(layers * count if len(layers) == 1 else layers)


def _keyword(matrix: Matrix, word: str, shape: tuple[int, int]) -> np.ndarray:
    if word == "empty":
        raise ModelError(f"{matrix.name}='empty' is called 'zero' here.")
    if word not in KEYWORDS:
        raise ModelError(
            f"{matrix.name}={word!r} is no pattern.{nearest(word, KEYWORDS)} Use 'full', 'diag', 'zero' or a "
            f"{shape[0]} x {shape[1]} matrix of 0 (fixed at zero), 1 (free) and equal integers (equal elements)."
        )
    if word == "full":
        return np.ones(shape, int)
    if word == "diag" and (matrix.shape == "column" or shape[0] != shape[1]):
        raise ModelError(
            f"{matrix.name}='diag' has no meaning: the matrix is not square. Use 'full', 'zero' or a pattern."
        )
    return np.eye(shape[0], dtype=int) if word == "diag" else np.zeros(shape, int)


def split_groups(name: str, given: Any, shape: tuple[int, int], groups: tuple[str, ...]) -> list[np.ndarray]:
    """One array for all groups, or one for each."""
    count = max(len(groups), 1)
    if isinstance(given, Mapping):
        missing = [group for group in groups if group not in given]
        unknown = [group for group in given if str(group) not in groups]
        if missing or unknown or not groups:
            raise ModelError(
                f"{name} is given by group as {sorted(map(str, given))}, but the groups are {list(groups) or 'one'}."
            )
        return [_numeric(name, given[group]) for group in groups]
    array = _numeric(name, given)
    if array.ndim == 3 and array.shape[0] == count and array.shape[1:] == shape:
        return list(array)
    if array.ndim == 3 and array.shape[2] == count and array.shape[:2] == shape:
        return list(np.moveaxis(array, -1, 0))
    if array.ndim == 3:
        raise ModelError(
            f"{name} has dimensions {array.shape}, but with {count} group{'s' * (count > 1)} a pattern by group needs "
            f"{(count, *shape)}."
        )
    return [array]


def _numeric(name: str, given: Any) -> np.ndarray:
    try:
        array = np.asarray(given)
        if array.dtype == object:
            array = array.astype(float)
    except (TypeError, ValueError):
        array = np.empty(0, dtype=str)
    if array.dtype.kind not in "biuf":
        raise ModelError(f"{name} must be a pattern of integers or one of 'full', 'diag', 'zero'; got {given!r:.80}.")
    return array


def _layer(matrix: Matrix, array: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """One group's pattern, checked."""
    name = matrix.name
    if array.ndim == 1 and len(array) == shape[0] and matrix.shape in ("column", "diagonal"):
        array = np.diag(array) if matrix.shape == "diagonal" else array[:, None]
    if array.shape != shape:
        raise ModelError(
            f"{name} has dimensions {' x '.join(map(str, array.shape))}, but the model needs {shape[0]} x {shape[1]} "
            f"(rows {_named(matrix.rows)}{', columns ' + _named(matrix.cols) if matrix.cols else ''})."
        )
    whole = integers(name, array)
    if matrix.by_triangle:
        whole = _lower(matrix, whole)
    diagonal = np.diag(whole) if shape[0] == shape[1] else np.zeros(0)
    if matrix.shape == "strict":
        if np.any(diagonal > 1):  # ones say nothing there, but an equality would be lost
            raise ModelError(
                f"{name} has equal elements on its diagonal, which is not estimated: its scales are elsewhere."
            )
        return np.tril(whole, -1)
    if matrix.shape == "diagonal" and np.any(whole != np.diag(diagonal)):
        raise ModelError(f"{name} is diagonal: give its diagonal, or zeros elsewhere.")
    return whole


def integers(name: str, array: np.ndarray) -> np.ndarray:
    """The pattern as integers. Raises ModelError for anything that is not a whole number from 0 on."""
    bad = ~np.isfinite(array) | (array < 0) | (array != np.floor(array)) if array.dtype.kind == "f" else array < 0
    if np.any(bad):
        row, col = np.argwhere(bad)[0]
        raise ModelError(
            f"{name}[{row + 1}, {col + 1}] is {array[row, col]}, but a pattern holds 0 (fixed at zero), 1 (free) and integers "
            f"from 2 on (equal elements). To fix an element at a value: "
            f"model.fixpar({name!r}, {row + 1}, {col + 1}, value={array[row, col]})."
        )
    return array.astype(int)


def _lower(matrix: Matrix, whole: np.ndarray) -> np.ndarray:
    upper = np.triu(whole, 1)
    if np.any(upper) and np.any(upper != np.tril(whole, -1).T):
        row, col = np.argwhere(upper != np.tril(whole, -1).T)[0]
        raise ModelError(
            f"{matrix.name} is not symmetric: element [{row + 1}, {col + 1}] is {whole[row, col]} and "
            f"[{col + 1}, {row + 1}] is {whole[col, row]}. Give both triangles alike, or the lower one alone."
        )
    return np.tril(whole)


def _named(names: Sequence[str]) -> str:
    return f"{names[0]}..{names[-1]}" if len(names) > 2 else ", ".join(names)
