"""Files that are written and read: what stands in the way of one, in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlsem_jax._arguments import shown
from mlsem_jax.report.exchange._conform import StorageError


def as_path(path: Any, what: str) -> Path:
    """The path of a file. Raises StorageError for what is none."""
    try:
        given = Path(path)
    except TypeError:
        raise StorageError(f"{shown(path)} is no path: name the file {what}, such as 'fit.json'.") from None
    if not str(path) or "\0" in str(path):
        raise StorageError(f"{shown(str(path))} is no path: name the file {what}, such as 'fit.json'.")
    return given


def write(path: Any, make: Callable[[], bytes], what: str) -> Path:
    """Write a file and return its path. make is called when the folder is known to be there. Raises StorageError."""
    path = as_path(path, f"to write {what} to")
    try:
        if path.is_dir():
            raise StorageError(f"{path} is a folder; name the file to write in it.")
        if not path.parent.is_dir():
            raise StorageError(f"There is no folder {path.parent} to write {path.name} to.")
        content = make()
        path.write_bytes(content)
    except OSError as problem:
        raise StorageError(f"{path} cannot be written: {_reason(problem)}.") from None
    return path


def read(path: Any, what: str) -> bytes:
    """The content of a file. Raises StorageError."""
    path = as_path(path, f"that holds {what}")
    try:
        if path.is_dir():
            raise StorageError(f"{path} is a folder; {what} is a file in it.")
        if not path.exists():
            raise StorageError(f"There is no file {path}.")
        return path.read_bytes()
    except OSError as problem:
        raise StorageError(f"{path} cannot be read: {_reason(problem)}.") from None


def _reason(problem: OSError) -> str:
    return (problem.strerror or type(problem).__name__).lower()
