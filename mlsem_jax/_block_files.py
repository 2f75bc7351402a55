"""Blocks of a study in a folder, a file each, with a file beside them that says what study they belong to.

Several processes, on several machines, may write into one folder: a file appears under its name when it is whole, and a block that
was computed twice has the same numbers. Files are arrays without pickled objects.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
import zipfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mlsem_jax._errors import DataError

Block = dict[str, np.ndarray]


class BlockFolder:
    """The blocks (first item, arrays that lead with the axis of items) that lie in a folder. study: what must be the same."""

    def __init__(self, path: Path, study: dict[str, Any]):
        self.path, self.study = path, study
        about = path / "study.json"
        try:
            path.mkdir(exist_ok=True)
        except OSError as error:
            raise DataError(f"path: the folder {str(path)!r} cannot be made ({error}).") from None
        if about.exists():
            if json.loads(about.read_text(encoding="utf-8")) != study:
                raise DataError(
                    f"The folder {str(path)!r} holds another study (model, theta, design, key or options differ). Give another "
                    "path, or delete it."
                )
        elif any(not one.name.startswith(".") for one in path.iterdir()) and not about.exists():
            raise DataError(f"The folder {str(path)!r} holds other files. Give a new or an empty folder.")
        else:
            self._put(about, lambda file: file.write_bytes(json.dumps(study).encode()))

    def read(self, total: int) -> list[tuple[int, Block]]:
        """Blocks of the first `total` items in order, without overlap."""
        files = sorted((int(file.stem), file) for file in self.path.glob("*.npz") if file.stem.isdigit())
        found, reached = [], 0
        for first, file in files:
            block = _read(file)
            length = len(next(iter(block.values())))
            start, end = max(first, reached), min(first + length, total)
            if start < end:
                found.append((start, {name: x[start - first : end - first] for name, x in block.items()}))
                reached = end
        return found

    def write(self, first: int, block: Block) -> None:
        def save(file: Path) -> None:
            with file.open("wb") as stream:
                np.savez(stream, **block)  # type: ignore[arg-type]

        # a block of the same start may be longer or shorter: the longer one stays
        target = self.path / f"{first:012}.npz"
        if not target.exists() or len(next(iter(_read(target).values()))) < len(next(iter(block.values()))):
            self._put(target, save)

    def _put(self, target: Path, write: Any) -> None:
        """A file that is there as a whole or not at all."""
        temporary = self.path / f".{target.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}"
        write(temporary)
        temporary.replace(target)


def _read(file: Path) -> Block:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"The file {str(file)!r} of the study cannot be read ({error}). Delete it: its block is computed again."
        ) from None


def open_folder(path: Any, study: dict[str, Any]) -> BlockFolder:
    """The folder of that name, which is made if it is not there. DataError for what is no name of a folder."""
    if not isinstance(path, (str, os.PathLike)):
        raise DataError(f"path must be the name of a folder, not {path!r}.")
    where = Path(path)
    if where.suffix and not where.is_dir():
        raise DataError(f"path={str(where)!r}: blocks are kept in a folder; give a name without an ending.")
    if not where.parent.is_dir():
        raise DataError(f"path: there is no folder {str(where.parent)!r}. Make it first, or give another path.")
    return BlockFolder(where, study)


def digest(tree: Any) -> str:
    """A fingerprint of the numbers in a tree of arrays, the same in every process."""
    found = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        array = np.asarray(leaf)
        # sums of a fit may differ in their last digits between processors
        rounded = array.astype(str) if array.dtype.kind not in "fiub" else _digits(array)
        found.update(f"{array.shape}{rounded.tobytes()!r}".encode())
    return found.hexdigest()


def _digits(array: np.ndarray) -> np.ndarray:
    """Single precision of what is in double, so that rounding leaves it as it is, nearly always."""
    return array.astype(np.float32) if array.dtype == np.float64 else array


def gaps(found: list[tuple[int, Block]], total: int, chunk: int) -> list[tuple[int, int]]:
    """(first, number) of the blocks that are missing of `total` items; each lies between two multiples of chunk."""
    covered = np.zeros(total, bool)
    for first, block in found:
        covered[first : first + len(next(iter(block.values())))] = True
    missing = []
    for start in range(0, total, chunk):
        open_ = np.flatnonzero(~covered[start : start + chunk]) + start
        for run in np.split(open_, np.flatnonzero(np.diff(open_) > 1) + 1):
            if len(run):
                missing.append((int(run[0]), len(run)))
    return missing
