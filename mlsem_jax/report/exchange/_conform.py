"""Whether what a file holds has the types that the records of the library have: by their annotations, before one is made."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Callable, Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

Check = Callable[[Any], bool]
# what a network model shares with the fit that it belongs to, stored once and given to it when the file is read
_LATER = ("data", "options")


class StorageError(ValueError):
    """A file is not what `Fit.save` writes, or cannot be read or written. The message says what is wrong with it."""


def require(holds: Any, where: str, what: str) -> None:
    """Raise StorageError for a part of a file that is not as it must be."""
    if not holds:
        raise StorageError(f"{where}: {what}")


def conform(record: type, fields: Mapping[str, Any], where: str) -> None:
    """Check the fields of a record: types, numbers of axes, and that axes called alike are equally long.

    Raises StorageError that names the place in the file.
    """
    axes: dict[str, int] = {}
    checks = _checks(record)
    for name, value in fields.items():
        test, dims, annotation = checks[name]
        if value is None and name in _LATER and hasattr(record, "but"):
            continue
        if not test(value):
            raise StorageError(f"{where}.{name}: {record.__name__}.{name} is {annotation}, not {type(value).__name__}")
        if value is not None and dims is not None:
            for axis, size in zip(dims, np.shape(value), strict=True):
                if axes.setdefault(axis, size) != size and not _slopes(fields):
                    raise StorageError(
                        f"{where}.{name}: its shape {np.shape(value)} does not fit the others of the record"
                    )


def _slopes(fields: Mapping[str, Any]) -> bool:
    """Moments of a model with random slopes have more rows between than within."""
    return fields.get("directions") is not None


@functools.cache
def _checks(record: type) -> dict[str, tuple[Check, tuple[str, ...] | None, str]]:
    """For each field: the test, the names of an array's axes, and the annotation in words."""
    hints, found = _hints(record), {}
    for field in dataclasses.fields(record):
        annotation = hints[field.name]
        found[field.name] = check_of(annotation), _axes(annotation), str(field.type)
    return found


class _Anything:
    """Stands for a module that is imported for type checkers alone: whatever it has is Any."""

    def __getattr__(self, name: str) -> Any:
        return Any


def _hints(record: type) -> dict[str, Any]:
    unknown: dict[str, Any] = {}
    while True:
        try:
            return get_type_hints(record, localns=unknown)
        except NameError as problem:
            if problem.name is None or problem.name in unknown:
                raise
            unknown[problem.name] = _Anything()


def _axes(annotation: Any) -> tuple[str, ...] | None:
    """Names of the axes of an annotated array, also where it may be None."""
    for part in (annotation, *get_args(annotation)):
        if hasattr(part, "dim_str"):
            return tuple(part.dim_str.split())
    return None


@functools.cache
def check_of(annotation: Any) -> Check:
    """A test of whether a value is what an annotation says."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return lambda value: True
    if annotation is None or annotation is types.NoneType:
        return lambda value: value is None
    if origin in (Union, types.UnionType):
        some = [check_of(part) for part in parts]
        return lambda value: any(test(value) for test in some)
    if origin is Literal:
        return lambda value: any(value == part and type(value) is type(part) for part in parts)
    if hasattr(annotation, "dim_str"):
        return _array(annotation)
    if origin is tuple or annotation is tuple:
        return _tuple(parts)
    if origin is list or annotation is list:
        inner = check_of(parts[0]) if parts else check_of(Any)
        return lambda value: isinstance(value, list) and all(inner(item) for item in value)
    if origin is not None:
        kind: Any = origin
        return lambda value: isinstance(value, kind)
    if annotation is float:
        return lambda value: isinstance(value, int | float) and not isinstance(value, bool)
    if annotation is int:
        return lambda value: isinstance(value, int) and not isinstance(value, bool)
    if isinstance(annotation, type):
        return lambda value: isinstance(value, annotation)
    return lambda value: True


def _array(annotation: Any) -> Check:
    count = len(annotation.dim_str.split())
    kinds = {"Float": "f", "Int": "i", "Bool": "b"}[annotation.__name__.partition("[")[0]]
    return lambda value: isinstance(value, np.ndarray) and value.ndim == count and value.dtype.kind in kinds


def _tuple(parts: tuple[Any, ...]) -> Check:
    if len(parts) == 2 and parts[1] is Ellipsis:
        inner = check_of(parts[0])
        return lambda value: isinstance(value, tuple) and all(inner(item) for item in value)
    each = [check_of(part) for part in parts]
    return lambda value: (
        isinstance(value, tuple)
        and (not parts or len(value) == len(each))
        and all(test(item) for test, item in zip(each, value, strict=False))
    )
