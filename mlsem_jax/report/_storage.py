"""A fit as a JSON file, and back: model, options, estimates, statistics, versions. Rows of the data are not in it."""

from __future__ import annotations

import dataclasses
import gzip
import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from mlsem_jax._version import __version__
from mlsem_jax.data import TwoLevelData
from mlsem_jax.estimation import Estimation, FitOptions, Fitted, Problem
from mlsem_jax.inference._estimates import row_values
from mlsem_jax.models import build
from mlsem_jax.numerics import float64
from mlsem_jax.report._codec import StorageError, decode, encode

if TYPE_CHECKING:
    from mlsem_jax._fit import Fit

FORMAT, FORMAT_VERSION = "mlsem_jax.fit", 1
_FITTED = ("model", "h1", "baseline")
_ROWS = ("values", "cluster", "row_index")


def save(fit: Fit, path: str | Path) -> Path:
    """Write the fit to `path` as JSON (compressed where the name ends in .gz) and return the path."""
    path = Path(path)
    parts = (f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in to_record(fit).items())
    content = ("{\n" + ",\n".join(parts) + "\n}\n").encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


def to_record(fit: Fit) -> dict[str, Any]:
    """What the file holds, as JSON values."""
    estimation = fit.estimation
    kept = [f.name for f in dataclasses.fields(Estimation) if f.name not in (*_FITTED, "data", "options")]
    extra = [f.name for f in dataclasses.fields(fit) if f.name != "estimation"]
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "versions": {"mlsem_jax": __version__, "python": platform.python_version()}
        | {name: _version(name) for name in ("jax", "numpy", "scipy", "pandas")},
        "fit": {name: _field(getattr(fit, name)) for name in extra},
        "estimates": [
            {"parameter": row.name, "level": row.level, "group": row.group, "est": float(value)}
            for row, value in zip(fit.specification.parameters, row_values(estimation), strict=True)
            if np.isfinite(value)
        ],
        "options": _options(estimation.options),
        "data": _data_record(estimation.data),
        "estimation": {name: encode(getattr(estimation, name)) for name in kept}
        | {name: _fitted_record(getattr(estimation, name)) for name in _FITTED},
    }


def _field(value: Any) -> Any:
    """A field of the fit; of a network model all but the data and options, which are stored once."""
    if hasattr(value, "but") and hasattr(value, "data"):
        value = value.but(data=None, options=None)
    return encode(value)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def _options(options: FitOptions) -> dict[str, Any]:
    """Options as JSON; objects that are code (a solver) are kept by name only."""
    record = {}
    for f in dataclasses.fields(options):
        value = getattr(options, f.name)
        try:
            record[f.name] = encode(value)
        except TypeError:
            record[f.name] = type(value).__name__
    return record


def _data_record(data: TwoLevelData) -> dict[str, Any]:
    record = {f.name: encode(getattr(data, f.name)) for f in dataclasses.fields(data) if f.name not in _ROWS}
    seen = ~np.isnan(data.values[:, ~data.between_only]).all(axis=1) if data.has_rows else slice(None)
    sizes = np.bincount(data.cluster[seen], minlength=data.nclusters)
    return record | {"cluster_sizes": encode(sizes)}


def _fitted_record(fitted: Fitted | None) -> dict[str, Any] | None:
    if fitted is None:
        return None
    return {
        "specification": encode(fitted.build.specification),
        "width": int(np.shape(fitted.build.basis)[1]),
        "maximum": encode(fitted.maximum),
        "moments": encode(fitted.moments),
    }


@float64
def load(path: str | Path) -> tuple[Estimation, dict[str, Any]]:
    """The estimation in a file that `save` wrote, and the other fields of its fit. Raises StorageError."""
    content = Path(path).read_bytes()
    try:
        record = json.loads(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)
    except ValueError as problem:
        raise StorageError(f"{path}: not a JSON file ({problem})") from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise StorageError(f"{path}: not a fit that mlsem_jax saved")
    if record.get("format_version") != FORMAT_VERSION:
        raise StorageError(
            f"{path}: format {record.get('format_version')}, written by mlsem_jax {record.get('versions', {}).get('mlsem_jax')};"
            f" this version reads format {FORMAT_VERSION}"
        )
    try:
        estimation = _estimation(record)
        extra = {name: _own(decode(value, f"fit.{name}"), estimation) for name, value in record["fit"].items()}
    except (KeyError, TypeError, AttributeError, IndexError) as problem:
        raise StorageError(f"{path}: incomplete or damaged ({type(problem).__name__}: {problem})") from None
    _compare(record["estimates"], estimation, path)
    return estimation, extra


def _own(value: Any, estimation: Estimation) -> Any:
    """A network model gets the data and options of the fit that it belongs to."""
    if hasattr(value, "but") and hasattr(value, "data"):
        return value.but(data=estimation.data, options=estimation.options)
    return value


def _estimation(record: dict[str, Any]) -> Estimation:
    stored = record["estimation"]
    fields = {name: decode(value, f"estimation.{name}") for name, value in stored.items() if name not in _FITTED}
    for name in _FITTED:
        fields[name] = _fitted(stored[name], fields, f"estimation.{name}")
    options = FitOptions(**{name: decode(value, f"options.{name}") for name, value in record["options"].items()})
    return Estimation(data=_data(record["data"]), options=options, **fields)


def _fitted(record: dict[str, Any] | None, fields: dict[str, Any], where: str) -> Fitted | None:
    if record is None:
        return None
    specification = decode(record["specification"], f"{where}.specification")
    made = build(specification, fields["exogenous"], record["width"])
    maximum = decode(record["maximum"], f"{where}.maximum")
    if maximum.theta.shape != (made.free,):
        raise StorageError(f"{where}: {maximum.theta.size} estimates for a model with {made.free} parameters")
    statistics = jax.tree.map(np.asarray, fields["reduction"].statistics)
    return Fitted(made, Problem(made, statistics), maximum, decode(record["moments"], where))


def _data(record: dict[str, Any]) -> TwoLevelData:
    import pandas as pd

    fields = {name: decode(value, f"data.{name}") for name, value in record.items()}
    sizes = fields.pop("cluster_sizes")
    rows = int(sizes.sum())
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    return TwoLevelData(values=np.empty((rows, 0)), cluster=cluster, row_index=pd.RangeIndex(rows), **fields)


def _compare(table: list[dict], estimation: Estimation, path: str | Path) -> None:
    """The readable estimates in the file must be those of its parameter vector."""
    rows, values = estimation.model.build.specification.parameters, row_values(estimation)
    finite = [(row, value) for row, value in zip(rows, values, strict=True) if np.isfinite(value)]
    if len(table) != len(finite):
        raise StorageError(f"{path}: {len(table)} estimates are listed for {len(finite)} parameters")
    for entry, (row, value) in zip(table, finite, strict=True):
        if entry.get("parameter") != row.name or not abs(entry.get("est", np.nan) - value) <= 1e-9 * max(
            1.0, abs(value)
        ):
            raise StorageError(f"{path}: the listed estimate of {row.name} is not that of the saved parameter vector")
