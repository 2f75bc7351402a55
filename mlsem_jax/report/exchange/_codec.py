"""Records as JSON values and back: dataclasses and modules of a closed list, arrays, tuples, numbers, strings. No code runs.

Floats keep all their bits. What is not finite is written as a string, so that files are JSON in the strict sense.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mlsem_jax._status import Status
from mlsem_jax.report.exchange._conform import StorageError, conform
from mlsem_jax.report.exchange._earlier import current

_ELEMENTS: dict[str, Any] = {"float64": int | float, "float32": int | float, "int64": int, "int32": int, "bool": bool}
_FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


_PLACES = (
    "data",
    "models",
    "observed",
    "likelihood",
    "ordinal",
    "ordinal.full._term",
    "estimation",
    "estimation.problem._reduction",
)
# records of the packages above this one, which say so themselves
_REGISTERED: list[type] = []


def register(*records: type) -> None:
    """Let files hold records of these classes: dataclasses, or tuples with methods."""
    _REGISTERED.extend(records)
    _records.cache_clear()


@functools.cache
def _records() -> dict[str, type]:
    """The classes that may occur in a file, by package and name: the records of these places and those registered."""
    modules = [importlib.import_module(f"mlsem_jax.{place}") for place in _PLACES]
    found = [c for module in modules for c in vars(module).values() if isinstance(c, type)] + _REGISTERED
    return {_key(c): c for c in found if dataclasses.is_dataclass(c) or _is_named_tuple_like(c)}


def _key(cls: type) -> str:
    """'networks.Model': the package below mlsem_jax and the name of a class."""
    return ".".join([*cls.__module__.split(".")[1:2], cls.__name__])


def _is_named_tuple_like(cls: type) -> bool:
    """A record that is a tuple with methods, such as the log of a network model."""
    return issubclass(cls, tuple) and cls is not tuple and cls.__module__.startswith("mlsem_jax.")


def encode(value: Any) -> Any:
    """A JSON value that `decode` turns back into the same record. Raises TypeError for what has no place in a file."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Status):
        return {"status": value.name}
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return _number(float(value))
    if isinstance(value, Mapping):
        return {"map": [[encode(k), encode(v)] for k, v in value.items()]}
    if isinstance(value, tuple) and _key(type(value)) in _records():
        return {"record": _key(type(value)), "items": [encode(v) for v in value]}
    if isinstance(value, list | tuple):
        return {"tuple" if isinstance(value, tuple) else "list": [encode(v) for v in value]}
    if dataclasses.is_dataclass(value) and _key(type(value)) in _records():
        return {"record": _key(type(value))} | {
            f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)
        }
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        array = np.asarray(value)
        if array.dtype.kind in "OU":
            return {"strings": [str(v) for v in array.ravel()]}
        return {
            "array": [_number(v) for v in array.ravel().tolist()],
            "shape": list(array.shape),
            "dtype": str(array.dtype),
        }
    raise TypeError(f"{type(value).__name__} cannot be written to a file")


def _number(value: Any) -> Any:
    return value if not isinstance(value, float) or math.isfinite(value) else {"float": str(value)}


def decode(value: Any, where: str = "file") -> Any:
    """What `encode` was given. where: the place in the file, for messages. Raises StorageError."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict):
        for key, read in _READERS.items():
            if key in value:
                return read(value, where)
    raise StorageError(f"{where}: not a value that mlsem_jax writes")


def _decode_float(value: dict, where: str) -> float:
    if not isinstance(value["float"], str) or value["float"] not in _FLOATS:
        raise StorageError(f"{where}: {value['float']!r} is no number")
    return _FLOATS[value["float"]]


def _decode_status(value: dict, where: str) -> Status:
    if not isinstance(value["status"], str) or value["status"] not in Status.__members__:
        raise StorageError(f"{where}: {value['status']!r} is no status")
    return Status[value["status"]]


def _decode_items(value: dict, where: str, kind: str) -> list:
    items = value[kind]
    if not isinstance(items, list):
        raise StorageError(f"{where}: a list was expected")
    return [decode(item, f"{where}[{i}]") for i, item in enumerate(items)]


def _decode_map(value: dict, where: str) -> dict:
    if not isinstance(value["map"], list) or any(not isinstance(p, list) or len(p) != 2 for p in value["map"]):
        raise StorageError(f"{where}: pairs were expected")
    if any(not isinstance(k, str) for k, _ in value["map"]):
        raise StorageError(f"{where}: names were expected as keys")
    return {k: decode(v, f"{where}.{k}") for k, v in value["map"]}


def _decode_array(value: dict, where: str) -> np.ndarray:
    shape, dtype, flat = value.get("shape"), value.get("dtype"), value["array"]
    if (
        not isinstance(shape, list)
        or not isinstance(flat, list)
        or not isinstance(dtype, str)
        or dtype not in _ELEMENTS
    ):
        raise StorageError(f"{where}: an array without shape, type or elements")
    if any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in shape) or len(flat) != math.prod(shape):
        raise StorageError(f"{where}: an array whose shape and length do not agree")
    numbers = [_decode_float(v, where) if isinstance(v, dict) and "float" in v else v for v in flat]
    if any(not isinstance(v, _ELEMENTS[dtype]) or (isinstance(v, bool) and dtype != "bool") for v in numbers):
        raise StorageError(f"{where}: an array with an element that is no number, or none of its type")
    try:
        return np.array(numbers, dtype).reshape(shape)
    except OverflowError:
        raise StorageError(f"{where}: an array with a number that is too large") from None


def _decode_strings(value: dict, where: str) -> np.ndarray:
    if not isinstance(value["strings"], list) or any(not isinstance(v, str) for v in value["strings"]):
        raise StorageError(f"{where}: strings were expected")
    return np.array(value["strings"], object)


def _decode_record(value: dict, where: str) -> Any:
    value = current(value)
    name, known = value["record"], _records()
    if not isinstance(name, str) or name not in known:
        raise StorageError(f"{where}: {name!r} is no record of mlsem_jax")
    if issubclass(known[name], tuple):
        if not isinstance(value.get("items"), list):
            raise StorageError(f"{where}: {name} has no list of items")
        return known[name](_decode_items(value, where, "items"))
    fields = {f.name for f in dataclasses.fields(known[name])}
    required = {
        f.name
        for f in dataclasses.fields(known[name])
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }
    given = set(value) - {"record"}
    if given - fields or required - given:
        odd = sorted((given - fields) | (required - given))
        raise StorageError(f"{where}: {name} has other fields than this version of mlsem_jax knows ({', '.join(odd)})")
    read = {key: decode(value[key], f"{where}.{key}") for key in given}
    conform(known[name], read, where)
    return known[name](**read)


# records first: their fields may have the names of the other kinds
_READERS = {
    "record": _decode_record,
    "float": _decode_float,
    "status": _decode_status,
    "map": _decode_map,
    "tuple": lambda value, where: tuple(_decode_items(value, where, "tuple")),
    "list": lambda value, where: _decode_items(value, where, "list"),
    "array": _decode_array,
    "strings": _decode_strings,
}
