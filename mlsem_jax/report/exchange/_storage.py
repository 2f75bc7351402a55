"""A fit as a JSON file, and back: model, options, estimates, statistics, versions. Rows of the data are not in it, but for the
answers by cluster that the likelihood of ordered variables is of.

What only the rows give is stored as it came out of them: sampling covariance and tests of robust fits whose scores are of rows.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import platform
import zlib
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mlsem_jax._arguments import shown
from mlsem_jax._version import __version__
from mlsem_jax.data import TwoLevelData
from mlsem_jax.estimation import Estimation, FitOptions, Fitted, Maximum, Problem, Reduction
from mlsem_jax.inference import row_values
from mlsem_jax.models import Moments, Specification, build
from mlsem_jax.numerics import float64
from mlsem_jax.report.exchange._codec import decode, encode
from mlsem_jax.report.exchange._conform import StorageError, conform
from mlsem_jax.report.exchange._derived import derived_record, of_rows, read_derived
from mlsem_jax.report.exchange._place import read, write
from mlsem_jax.report.exchange._stored import check_estimation, check_fields, check_options, require

FORMAT, FORMAT_VERSION = "mlsem_jax.fit", 1
_FITTED = ("model", "h1", "baseline")
# columns of a basis beyond those of the unrestricted model that a search makes room for, at most
ROOM = 1000
_ROWS = ("values", "cluster", "row_index")


# estimations of other models that a fit is made of, by name: those of both steps of `sam`
Parts = Mapping[str, Sequence[Estimation]]


def save(estimation: Estimation, fields: Mapping[str, Any], path: str | Path, parts: Parts | None = None) -> Path:
    """Write a fit to `path` as JSON (compressed where the name ends in .gz) and return the path.

    fields: what it has beside its estimation: "text", "function", "warnings", "network". parts: the estimations that it is made of,
    where its sampling covariance is theirs.
    """

    def content() -> bytes:
        record = to_record(estimation, fields, parts or {})
        record["checksum"] = checksum(record)
        lines = (f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in record.items())
        text = ("{\n" + ",\n".join(lines) + "\n}\n").encode()
        return gzip.compress(text, mtime=0) if str(path).endswith(".gz") else text

    return write(path, content, "the fit")


def checksum(record: dict[str, Any]) -> str:
    """SHA-256 of the record in its shortest form, names in order; how a file is laid out has no part in it."""
    rest = {name: value for name, value in record.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def to_record(estimation: Estimation, fields: Mapping[str, Any], parts: Parts) -> dict[str, Any]:
    """What the file holds, as JSON values."""
    record = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "versions": {"mlsem_jax": __version__, "python": platform.python_version()}
        | {name: _version(name) for name in ("jax", "numpy", "scipy", "pandas")},
        "fit": {name: _network(value) if name == "network" else encode(value) for name, value in fields.items()},
        "estimates": [
            {"parameter": row.name, "level": row.level, "group": row.group, "est": float(value)}
            for row, value in zip(estimation.model.build.specification.parameters, row_values(estimation), strict=True)
            if np.isfinite(value)
        ],
        **_estimation_record(estimation, bool(parts)),
    }
    if not parts:
        return record
    return record | {
        "parts": {name: [_estimation_record(one, False) for one in found] for name, found in parts.items()}
    }


def _estimation_record(estimation: Estimation, composed: bool) -> dict[str, Any]:
    """Of an estimation what it is restored from; composed: of parts that are stored beside it."""
    kept = [f.name for f in dataclasses.fields(Estimation) if f.name not in (*_FITTED, "data", "options")]
    return {
        "options": _options(estimation.options),
        "data": _data_record(estimation.data),
        "estimation": {name: encode(_without_rows(estimation, getattr(estimation, name))) for name in kept}
        | {name: _fitted_record(getattr(estimation, name)) for name in _FITTED},
        "derived": derived_record(estimation, composed),
    }


def _without_rows(estimation: Estimation, value: Any) -> Any:
    """A part of the estimation without the layer of rows that models of one level have in place of clusters."""
    rows = isinstance(value, Reduction) and of_rows(estimation)
    return dataclasses.replace(value, clusters=None) if rows else value


def _network(model: Any) -> Any:
    """Of a network model all but the data and options, which are stored once."""
    return None if model is None else encode(model.but(data=None, options=None))


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
    kept = [f.name for f in dataclasses.fields(data) if f.name not in (*_ROWS, "survey")]
    record = {name: encode(getattr(data, name)) for name in kept}
    if data.survey is not None:  # weights of rows and of replicates go with the rows
        record["survey"] = encode(
            dataclasses.replace(data.survey, rows=None, unit_replicates=None, row_replicates=None)
        )
    if data.single and not data.clustered:
        record["cluster_ids"] = encode(np.arange(len(data.cluster_ids)))
    seen = data.seen if data.has_rows else slice(None)
    sizes = np.bincount(data.cluster[seen], minlength=data.nclusters)
    return record | {"cluster_sizes": encode(sizes)}


def _fitted_record(fitted: Fitted | None) -> dict[str, Any] | None:
    if fitted is None:
        return None
    return {
        "specification": encode(fitted.build.specification),
        "width": fitted.build.width,
        "maximum": encode(fitted.maximum),
        "moments": encode(fitted.moments),
    }


@float64
def load(path: str | Path) -> tuple[Estimation, dict[str, Any]]:
    """The estimation in a file that `save` wrote, and the other fields of its fit, "parts" among them.

    Raises StorageError: for what cannot be read, is no such file, or departs from what `save` writes, in types, sizes, ranges or
    (where the file has a checksum) any value.
    """
    record = _parsed(path)
    try:
        estimation = _estimation(record)
        extra = {name: _own(decode(value, f"fit.{name}"), estimation) for name, value in record["fit"].items()}
        check_fields(extra, {"text": str, "function": str, "warnings": tuple[str, ...], "network": Any})
        check_estimation(estimation)
        read_derived(record.get("derived", {}), estimation)
        extra["parts"] = _parts(record.get("parts", {}))
        _check_network(extra["network"], estimation)
        _compare(record["estimates"], estimation)
    except StorageError as problem:
        raise StorageError(f"{path}: {problem}") from None
    except Exception as problem:  # what a file holds may be wrong in more ways than can be foreseen
        raise StorageError(f"{path}: incomplete or damaged ({type(problem).__name__}: {problem})") from None
    if "checksum" in record and record["checksum"] != checksum(record):
        raise StorageError(f"{path}: something in it was changed since it was saved (its checksum is another one)")
    return estimation, extra


def _parts(record: Any) -> dict[str, tuple[Estimation, ...]]:
    """The estimations that a fit is made of."""
    require(isinstance(record, dict), "parts", "names and lists were expected")
    require(not record or set(record) == {"measurement", "structural"}, "parts", "those of both steps were expected")
    found: dict[str, tuple[Estimation, ...]] = {}
    for name, some in record.items():
        require(isinstance(some, list), f"parts.{name}", "a list was expected")
        found[name] = tuple(map(_estimation, some))
        for one, stored in zip(found[name], some, strict=True):
            check_estimation(one)
            read_derived(stored.get("derived", {}), one)
    return found


def _parsed(path: Any) -> dict[str, Any]:
    """The JSON record in a file."""
    content = read(path, "a saved fit")
    try:
        text = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (OSError, EOFError, zlib.error) as problem:
        raise StorageError(f"{path}: a compressed file that is cut off or damaged ({problem})") from None
    try:
        record = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise StorageError(f"{path}: not a fit that mlsem_jax saved (it is nested too deeply)") from None
    except ValueError as problem:
        raise StorageError(f"{path}: not a JSON file ({problem})") from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise StorageError(f"{path}: not a fit that mlsem_jax saved")
    if record.get("format_version") != FORMAT_VERSION:
        versions = record.get("versions")
        writer = versions.get("mlsem_jax") if isinstance(versions, dict) else None
        raise StorageError(
            f"{path}: format {shown(record.get('format_version'))}, written by mlsem_jax {shown(writer)};"
            f" this version reads format {FORMAT_VERSION}"
        )
    return record


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _check_network(network: Any, estimation: Estimation) -> None:
    """The network model is the one that was fitted."""
    if network is None:
        return
    require(hasattr(network, "but") and hasattr(network, "layout"), "fit.network", "no network model")
    rows, fitted = network.specification.parameters, estimation.model.build.specification.parameters
    require(rows == fitted, "fit.network", "not the model that was fitted")


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
    chosen = {name: decode(value, f"options.{name}") for name, value in record["options"].items()}
    conform(FitOptions, chosen, "options")
    check_options(chosen)
    parts = fields | {"data": _data(record["data"], fields["reduction"]), "options": FitOptions(**chosen)}
    conform(Estimation, parts, "estimation")
    return Estimation(**parts)


def _fitted(record: dict[str, Any] | None, fields: dict[str, Any], where: str) -> Fitted | None:
    if record is None:
        return None
    specification = decode(record["specification"], f"{where}.specification")
    require(isinstance(specification, Specification), f"{where}.specification", "no specification")
    width, p = record["width"], len(specification.variables)
    most = len(specification.parameters) + specification.ngroups * p * (p + 3) + ROOM
    require(isinstance(width, int) and 0 <= width <= most, f"{where}.width", "a number of columns was expected")
    built = build(specification, fields["exogenous"], width)
    _ = built.structure  # made when it is first asked for: here, so that what it cannot be made of is found now
    maximum = decode(record["maximum"], f"{where}.maximum")
    require(isinstance(maximum, Maximum), f"{where}.maximum", "no maximum")
    if maximum.theta.shape != (built.free,):
        raise StorageError(f"{where}: {maximum.theta.size} estimates for a model with {built.free} parameters")
    reduction = fields["reduction"]
    statistics = jax.tree.map(np.asarray, reduction.statistics)
    moments = decode(record["moments"], f"{where}.moments")
    require(isinstance(moments, Moments), f"{where}.moments", "no moments")
    return Fitted(Problem(built, statistics, reduction.sample), maximum, moments)


def _data(record: dict[str, Any], reduction: Reduction) -> TwoLevelData:
    import pandas as pd

    fields = {name: decode(value, f"data.{name}") for name, value in record.items()}
    sizes = fields.pop("cluster_sizes")
    known = isinstance(sizes, np.ndarray) and sizes.dtype.kind == "i" and sizes.shape == (len(fields["cluster_ids"]),)
    require(known and np.all(sizes >= 0), "data.cluster_sizes", "the number of rows of each cluster was expected")
    conform(TwoLevelData, fields, "data")
    weighted = fields.get("survey") is not None
    require(
        weighted or sizes.sum() == reduction.rows.sum(), "data.cluster_sizes", "they are not those of the statistics"
    )
    rows = int(sizes.sum())
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    return TwoLevelData(values=np.empty((rows, 0)), cluster=cluster, row_index=pd.RangeIndex(rows), **fields)


def _compare(table: list[dict], estimation: Estimation) -> None:
    """The readable estimates in the file must be those of its parameter vector."""
    require(isinstance(table, list) and all(isinstance(entry, dict) for entry in table), "estimates", "a list of rows")
    rows, values = estimation.model.build.specification.parameters, row_values(estimation)
    finite = [(row, value) for row, value in zip(rows, values, strict=True) if np.isfinite(value)]
    if len(table) != len(finite):
        raise StorageError(f"{len(table)} estimates are listed for {len(finite)} parameters")
    for entry, (row, value) in zip(table, finite, strict=True):
        if entry.get("parameter") != row.name or not abs(entry.get("est", np.nan) - value) <= 1e-9 * max(
            1.0, abs(value)
        ):
            raise StorageError(f"the listed estimate of {row.name} is not that of the saved parameter vector")
