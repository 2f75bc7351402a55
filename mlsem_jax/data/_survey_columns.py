"""The columns of a survey design, read and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlsem_jax._errors import DataError, listing, nearest
from mlsem_jax.data._columns import to_float
from mlsem_jax.data._frame import Table
from mlsem_jax.data._ids import factorize, read_ids
from mlsem_jax.data._survey import SurveyColumns
from mlsem_jax.data._units import Units, one_column

# values of a cluster that differ by less than this, relative, are one value
EQUAL = 1e-9


@dataclass(frozen=True, eq=False)
class RawSurvey:
    """The columns of a design as they are in the data, None where there are none: weights of rows and of clusters (N,), strata (N,)
    codes with their labels, replicates (R, N). warnings: sentences on how they were read.
    """

    columns: SurveyColumns
    rows: np.ndarray | None
    clusters: np.ndarray | None
    strata: np.ndarray | None
    stratum_labels: tuple[str, ...]
    replicates: np.ndarray | None
    warnings: tuple[str, ...] = ()

    @property
    def positive(self) -> np.ndarray | None:
        """(N,) rows that count: those whose weights are not zero."""
        used = [w > 0 for w in (self.rows, self.clusters) if w is not None]
        return np.logical_and.reduce(used) if used else None


def read_survey(table: Table, columns: SurveyColumns, units: Units, cluster: str | None) -> RawSurvey:
    """Read and check the columns of a design. Raises DataError that names column, row, cluster or stratum, and the remedy."""
    belongs = units.codes >= 0
    rows = _weights(table, columns.sampling_weights, "sampling_weights", belongs)
    between = _weights(table, columns.sampling_weights_between, "sampling_weights_between", belongs)
    if between is not None:
        _check_constant(between, units, columns.sampling_weights_between, belongs)
    strata: np.ndarray | None = None
    labels: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    if columns.strata:
        strata, labels, told = _read_strata(table, columns.strata, units, belongs, cluster)
    replicates = None
    if columns.replicate_weights:
        each = [_weights(table, name, "replicate_weights", belongs) for name in columns.replicate_weights]
        replicates = np.array(each)
    raw = RawSurvey(columns, rows, between, strata, labels, replicates, told)
    _check_some_positive(raw, units, belongs)
    return raw


def check_survey_names(columns: SurveyColumns, known: Sequence[str], variables: Sequence[str]) -> None:
    """Every column of the design is there, and none is a variable of the model."""
    for argument in ("sampling_weights", "sampling_weights_between", "strata"):
        name = getattr(columns, argument)
        if name:
            one_column(name, argument, known)
            if name in variables:
                raise DataError(
                    f"{name!r} is {argument}= and a variable of the model as well. Take it out of the model, or give the model a "
                    "copy of the column under another name."
                )
    absent = [name for name in columns.replicate_weights if name not in known]
    if absent:
        count = len(columns.replicate_weights)
        raise DataError(
            f"The data have no column {listing(map(repr, absent))} for replicate_weights= ({count - len(absent)} of {count} are "
            f"there).{nearest(absent[0], known)}"
        )
    twice = [name for i, name in enumerate(columns.replicate_weights) if name in columns.replicate_weights[:i]]
    if twice:
        raise DataError(f"replicate_weights= names {listing(map(repr, twice))} twice: a replicate counts once.")


def _weights(table: Table, name: str, argument: str, belongs: np.ndarray) -> np.ndarray | None:
    """(N,) finite, nonnegative; rows that belong to no cluster or group are not looked at."""
    if not name:
        return None
    try:
        found = np.array(to_float(table.columns[name], name, repr(name)))
    except DataError as problem:
        raise DataError(f"{argument}= needs a column of numbers. {problem}") from None
    labels = np.asarray(table.index)
    for bad, word, remedy in (
        (np.isnan(found), "missing", "Give the row a weight; 0 leaves it out."),
        (np.isinf(found), "infinite", "Correct it, or give the row the weight 0, which leaves it out."),
        (found < 0, "negative", "Weights are inverse probabilities of selection: correct it, or drop the row."),
    ):
        at = np.flatnonzero(bad & belongs)
        if len(at):
            shown = f": {found[at[0]]:g}" if word == "negative" and len(at) == 1 else ""
            rows = "row" if len(at) == 1 else "rows"
            raise DataError(
                f"{argument} {name!r} is {word} in {len(at)} {rows} ({rows} {listing(labels[at])}{shown}). {remedy}"
            )
    if not np.any(found[belongs] > 0):
        raise DataError(f"{argument} {name!r} is 0 in every row, so that none counts. Weights are positive numbers.")
    return np.where(belongs, found, 0.0)


def _check_constant(between: np.ndarray, units: Units, name: str, belongs: np.ndarray) -> None:
    low, high = range_by_unit(between[belongs], units.codes[belongs], len(units.ids))
    varying = np.flatnonzero(high - low > EQUAL * high)
    if len(varying):
        j = varying[0]
        raise DataError(
            f"sampling_weights_between {name!r} varies within {len(varying)} of {np.isfinite(low).sum()} clusters (cluster "
            f"{units.ids[j]}: {low[j]:.6g} to {high[j]:.6g}). A level-2 weight is one number a cluster; a weight of rows goes to "
            "sampling_weights=."
        )


def range_by_unit(values: np.ndarray, codes: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest value of each unit; inf and -inf where it has no row."""
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, codes, values)
    np.maximum.at(high, codes, values)
    return low, high


def _read_strata(
    table: Table, name: str, units: Units, belongs: np.ndarray, cluster: str | None
) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Stratum (N,) of every row, the strata's names, and sentences on the ids."""
    found = read_ids(table.columns[name], "stratum")
    missing = np.flatnonzero((found.codes < 0) & belongs)
    if len(missing):
        rows = "row" if len(missing) == 1 else "rows"
        raise DataError(
            f"strata {name!r} is missing in {len(missing)} {rows} ({rows} {listing(np.asarray(table.index)[missing])}). Give every "
            "row its stratum; one more value may stand for those of which it is not known."
        )
    codes, labels = found.codes, tuple(str(v) for v in found.values)
    if cluster is not None:
        whole = factorize(units.ids)[0][units.codes[belongs]]
        low, high = range_by_unit(codes[belongs], whole, int(whole.max()) + 1)
        split = np.flatnonzero(low < high)
        if len(split):
            j = int(np.flatnonzero(factorize(units.ids)[0] == split[0])[0])
            raise DataError(
                f"Cluster {units.ids[j]} of {cluster!r} lies in the strata {labels[int(low[split[0]])]} and "
                f"{labels[int(high[split[0]])]} ({len(split)} of {len(low)} clusters lie in several); a stratum holds whole "
                f"clusters. If ids start anew in each stratum, make them unique: data[{cluster!r}] = data[{name!r}].astype(str) "
                f"+ '.' + data[{cluster!r}].astype(str)."
            )
    return codes, labels, found.warnings


def _check_some_positive(raw: RawSurvey, units: Units, belongs: np.ndarray) -> None:
    """Every group has a row that counts."""
    counts = raw.positive
    if counts is None:
        return
    for g, label in enumerate(units.labels):
        if not np.any(counts & belongs & (units.group[units.codes] == g)):
            raise DataError(
                f"All weights are 0 in group {label!r}, so that nothing is left of it. Leave the group out with group_label=, or "
                "correct the weights."
            )
