"""Weights as they count: scaled within clusters, groups or over all rows, and what a design has beside the rows that are used.

Level-1 weights count rows, level-2 weights clusters (Asparouhov 2006; Rabe-Hesketh & Skrondal 2006). Scaled weights of a cluster of
n rows: "cluster" w n / sum w, "effective" w sum w / sum w^2, "none" as they are; with one level "total" w N / sum w over all rows,
"group" the same in each group, "none" as they are. Level-2 weights v are scaled so that the products v w sum to N.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlsem_jax._errors import DataError, listing
from mlsem_jax.data._ids import factorize
from mlsem_jax.data._survey import Survey
from mlsem_jax.data._survey_columns import EQUAL, RawSurvey, range_by_unit
from mlsem_jax.data._units import Units

# why rows leave that have no weight
WEIGHTLESS = "weight 0"


def with_weight(raw: RawSurvey, keep: np.ndarray) -> tuple[np.ndarray, tuple[tuple[str, int], ...]]:
    """The mask keep (N,) without the rows of weight 0, and how many those are. Raises DataError where none is left."""
    counts = raw.positive
    if counts is None or counts[keep].all():
        return keep, ()
    if not np.any(keep & counts):
        raise DataError(
            "Every row that is left has weight 0: those with a weight have missing values. Correct the weights, or use "
            "missing='ml'."
        )
    return keep & counts, ((WEIGHTLESS, int(np.sum(keep & ~counts))),)


def survey_notes(
    raw: RawSurvey, keep: np.ndarray, units: Units, dropped: dict[str, int], single: bool, cluster: str | None
) -> tuple[str, ...]:
    """Sentences about what the weights do to rows and clusters that a user may not expect."""
    told, columns = list(raw.warnings), raw.columns
    if n := dropped.get(WEIGHTLESS):
        told.append(
            f"{n} {'row has' if n == 1 else 'rows have'} weight 0 and {'does' if n == 1 else 'do'} not enter; "
            "strata and clusters count them as part of the design."
        )
        if cluster and not single:
            told += _weightless_clusters(raw, keep, units, cluster)
    listwise = sum(n for reason, n in dropped.items() if reason != WEIGHTLESS)
    if listwise and columns.weighted:
        rows = "row was" if listwise == 1 else "rows were"
        told.append(f"{listwise} {rows} dropped; weights are scaled over the remaining ones.")
    if raw.replicates is not None and columns.strata:
        told.append("Replicate weights carry the design: strata have no part in the standard errors.")
    if columns.sampling_weights_scaling == "none" and _looks_total(raw, keep):
        told.append(
            f"{columns.sampling_weights!r} rises with the level-2 weight {columns.sampling_weights_between!r} as total weights do. "
            "Unscaled level-1 weights must be those given the cluster: if it is a total weight, divide it by the level-2 weight, "
            "or scale by 'cluster'."
        )
    return tuple(told)


def _weightless_clusters(raw: RawSurvey, keep: np.ndarray, units: Units, cluster: str) -> list[str]:
    """A sentence that names the clusters that leave because their rows have no weight."""
    alive, zero = np.zeros(len(units.ids), bool), np.zeros(len(units.ids), bool)
    alive[units.codes[keep]] = True
    if raw.positive is not None:
        zero[units.codes[(units.codes >= 0) & ~raw.positive]] = True
    gone = units.ids[zero & ~alive]
    if not len(gone):
        return []
    noun, has, was = ("Cluster", "has", "was") if len(gone) == 1 else ("Clusters", "have", "were")
    return [f"{noun} {listing(gone)} of {cluster!r} {has} no row with a positive weight and {was} left out."]


def _looks_total(raw: RawSurvey, keep: np.ndarray) -> bool:
    """Whether level-1 weights rise with level-2 weights as their products do: a slope near 1 of their logarithms."""
    if raw.rows is None or raw.clusters is None:
        return False
    x, y = np.log(raw.clusters[keep]), np.log(raw.rows[keep])
    if len(x) < 3 or np.ptp(x) < EQUAL or np.ptp(y) < EQUAL:
        return False
    slope, _ = np.polyfit(x, y, 1)
    return bool(0.7 < slope < 1.3 and np.corrcoef(x, y)[0, 1] > 0.5)


def made_survey(
    raw: RawSurvey, keep: np.ndarray, before: Units, after: Units, seen: np.ndarray, single: bool, clustered: bool
) -> Survey:
    """The design of the rows in the mask keep (N,), weights scaled over those among them with a value at level 1: seen (kept,).

    before, after: the units of all rows and of those kept. Raises DataError for strata of one unit.
    """
    columns = raw.columns
    rows = None if raw.rows is None else raw.rows[keep]
    between = None
    if raw.clusters is not None:
        between = np.zeros(len(after.ids))
        between[after.codes] = raw.clusters[keep]
    group = after.group[after.codes]
    full = rows
    if rows is not None:
        scale = columns.sampling_weights_normalization if single else columns.sampling_weights_scaling
        rows = _scaled(rows, scale, after, group, seen, single)
    if rows is not None and not single:
        _check_contrasts(rows, between, after, seen, columns.sampling_weights)
    if between is not None:
        each = np.where(seen, 1.0 if rows is None else rows, 0.0)
        between = between * (seen.sum() / np.sum(between[after.codes] * each))
    strata = None
    if raw.strata is not None:
        strata = np.zeros(len(after.ids), int)
        strata[after.codes] = raw.strata[keep]
    empty = _empty_units(raw, before, single and clustered)
    if strata is not None:
        _check_lonely(raw, strata, empty, after, single, clustered)
    out = Survey(
        columns,
        rows,
        between,
        strata,
        raw.stratum_labels,
        empty,
        row_effect=_design_effect(rows),
        cluster_effect=_design_effect(between),
    )
    if raw.replicates is None:
        return out
    return _with_replicates(out, raw.replicates[:, keep], full, raw, keep, after, seen, single)


def _check_contrasts(rows: np.ndarray, between: np.ndarray | None, units: Units, seen: np.ndarray, name: str) -> None:
    """DataError where weights of rows leave no information within clusters: n* - 1 contrasts each, n* the sum of the weights."""
    often = np.ones(len(units.ids)) if between is None else between
    size = np.bincount(units.codes[seen], rows[seen], len(units.ids))
    for g in range(max(len(units.labels), 1)):
        here = (units.group == g) & (size > 0)
        if not np.sum(often[here] * (size[here] - 1)) > EQUAL * np.sum(often[here] * size[here]):
            mean = np.average(size[here], weights=often[here])
            raise DataError(
                f"The weights {name!r} sum to {mean:.3g} in a cluster on average, so that nothing is left to vary within clusters: "
                "unscaled weights must count rows, as their inverse probabilities do. Use sampling_weights_scaling='cluster', "
                "which makes them sum to the rows of the cluster."
            )


def _design_effect(weights: np.ndarray | None) -> float:
    return 1.0 if weights is None else float(len(weights) * np.sum(weights**2) / np.sum(weights) ** 2)


def _scaled(
    weight: np.ndarray, how: str, units: Units, group: np.ndarray, seen: np.ndarray, single: bool
) -> np.ndarray:
    """Weights (N,) of rows after scaling; sums go over the rows in the mask seen."""
    if how == "none":
        return weight
    if how == "total":
        return weight * (seen.sum() / weight[seen].sum())
    unit, count = (group, int(group.max()) + 1) if how == "group" else (units.codes, len(units.ids))

    def total(x: np.ndarray) -> np.ndarray:
        return np.bincount(unit[seen], x[seen], count)

    above = total(weight) if how == "effective" else total(np.ones(len(weight)))
    below = total(weight**2) if how == "effective" else total(weight)
    factor = np.where(below > 0, above / np.where(below > 0, below, 1.0), 1.0)
    return weight * factor[unit]


def _empty_units(raw: RawSurvey, units: Units, whole: bool) -> np.ndarray:
    """Units of each stratum, or without strata of each group, all of whose rows have weight 0. whole: clusters of one level, which
    may lie in several groups.
    """
    count = len(raw.stratum_labels) if raw.strata is not None else max(len(units.labels), 1)
    counts, belongs = raw.positive, units.codes >= 0
    if counts is None:
        return np.zeros(count)
    unit = factorize(units.ids)[0][units.codes] if whole else units.codes
    where = raw.strata if raw.strata is not None else units.group[units.codes]
    number = int(unit[belongs].max()) + 1
    alive, place = np.zeros(number, bool), np.full(number, -1)
    place[unit[belongs]] = where[belongs]
    alive[unit[belongs & counts]] = True
    return np.bincount(place[(place >= 0) & ~alive], minlength=count).astype(float)


def _check_lonely(
    raw: RawSurvey, strata: np.ndarray, empty: np.ndarray, units: Units, single: bool, clustered: bool
) -> None:
    unit = factorize(units.ids)[0] if single and clustered else np.arange(len(units.ids))
    of_unit = np.zeros(int(unit.max()) + 1, int)
    of_unit[unit] = strata
    count = np.bincount(of_unit, minlength=len(empty)) + empty
    alone = np.flatnonzero((count == 1) & (np.bincount(of_unit, minlength=len(empty)) == 1))
    if len(alone) and raw.columns.lonely == "error":
        h = alone[0]
        j = int(np.flatnonzero(strata == h)[0])
        what = "cluster" if clustered else "row"
        which = f" ({units.ids[j]})" if clustered else ""
        more = f" So have {len(alone) - 1} others." if len(alone) > 1 else ""
        raise DataError(
            f"Stratum {raw.stratum_labels[h]} of {raw.columns.strata!r} has one {what}{which}, so that its variance cannot be "
            f"estimated.{more} Merge it with a neighbouring stratum, or pass lonely='adjust', which takes its distance from the "
            "mean of all strata."
        )


def _with_replicates(
    survey: Survey,
    replicates: np.ndarray,
    full: np.ndarray | None,
    raw: RawSurvey,
    keep: np.ndarray,
    units: Units,
    seen: np.ndarray,
    single: bool,
) -> Survey:
    """The design with replicate weights: multipliers of units where that is what they are, else weights of rows."""
    between = None if raw.clusters is None else raw.clusters[keep]
    count = len(units.ids)
    for base in (between if between is not None else np.ones(len(keep.nonzero()[0])), full):
        if base is None or (base is not full and single):
            continue
        ratio = replicates / base
        found = np.array([range_by_unit(r, units.codes, count) for r in ratio])
        low, high = found[:, 0], found[:, 1]
        if np.all(high - low <= EQUAL * np.maximum(high, 1e-300)):
            factors = high
            if single:
                factors = _normalised(factors, survey, units, seen)
            return replace(survey, unit_replicates=factors)
    group = units.group[units.codes]
    how = survey.columns.sampling_weights_normalization if single else survey.columns.sampling_weights_scaling
    return replace(survey, row_replicates=np.array([_scaled(r, how, units, group, seen, single) for r in replicates]))


def _normalised(factors: np.ndarray, survey: Survey, units: Units, seen: np.ndarray) -> np.ndarray:
    """Multipliers (R, J) of units of one level such that the weights of a replicate are scaled like the full ones."""
    how = survey.columns.sampling_weights_normalization
    if how == "none" or survey.rows is None:
        return factors
    by_unit = np.bincount(units.codes[seen], survey.rows[seen], len(units.ids))
    rows = np.bincount(units.codes[seen], minlength=len(units.ids))
    group = units.group if how == "group" else np.zeros(len(units.ids), int)
    target = np.bincount(group, rows)
    now = np.array([np.bincount(group, f * by_unit, len(target)) for f in factors])
    return factors * (target / np.where(now > 0, now, 1.0))[:, group]
