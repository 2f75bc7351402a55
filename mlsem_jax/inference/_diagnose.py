"""What the data say about a model before it is fitted: variation at each level, numbers, near-dependence, advice."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mlsem_jax._errors import listing
from mlsem_jax.data import TwoLevelData, check_clusters, dependence
from mlsem_jax.inference._diagnose_ordered import ordered_advice
from mlsem_jax.models import Specification
from mlsem_jax.numerics import f_tail

# clusters below which the asymptotic theory of level 2 is poor (Maas & Hox 2005; McNeish & Stapleton 2016)
FEW_CLUSTERS = 30
# smallest eigenvalue of a correlation matrix below which variables count as nearly collinear, and a correlation as nearly 1
NEARLY_COLLINEAR, NEARLY_ONE = 1e-3, 0.98
# shares of a variance below this are rounding
CONSTANT = 1e-12


@dataclass(frozen=True)
class VariableFacts:
    """One variable in one group. levels: where the model has it ("within", "between", "both"; "one" in a model of one level).

    within, between: variances by analysis of variance; between may be negative. icc: between / (between + within), NaN where the
    variable has one of two levels, or where there are no clusters. pvalue: of no variance between clusters (F test). missing:
    share of its rows. categories: of an ordered variable, whose mean, variances and icc are those of the numbers 1, 2, ... of its
    categories (those of the latent response are a little larger); 0 of continuous ones. With weights mean, variances and icc are
    weighted ones; pvalue and missing go by rows without weights.
    """

    name: str
    group: str
    levels: str
    mean: float
    within: float
    between: float
    icc: float
    pvalue: float
    missing: float
    categories: int = 0


@dataclass(frozen=True)
class Diagnosis:
    """Facts about the data of a model. sizes: smallest, median, mean and largest cluster; singles: clusters of one row.

    advice: sentences, the most serious first; empty where nothing stands against a fit. effects: design effects of the weights of
    rows and of clusters (Kish 1965), None where there are none.
    """

    rows: int
    clusters: int
    sizes: tuple[float, float, float, float]
    singles: int
    variables: tuple[VariableFacts, ...]
    advice: tuple[str, ...]
    effects: tuple[float | None, float | None] = (None, None)


def diagnose(specification: Specification, data: TwoLevelData) -> Diagnosis:
    """Look at the data of a model. The data need not have passed the checks of variation that a fit makes."""
    size = np.bincount(data.cluster, minlength=data.nclusters)
    facts: list[VariableFacts] = []
    advice: list[str] = []
    for g in range(data.ngroups):
        group = data.group_labels[g] if data.group_labels else ""
        rows = np.flatnonzero(data.group[data.cluster] == g)
        _, code = np.unique(data.cluster[rows], return_inverse=True)
        own = specification.group(g + 1)
        at = [i for i, name in enumerate(data.variables) if name in own.variables]
        values, names = data.values[rows][:, at], tuple(data.variables[i] for i in at)
        often = _weights(data, rows)
        here = [_variable(own, name, group, values[:, i], code, often) for i, name in enumerate(names)]
        here = [_of_categories(own, fact) for fact in here]
        facts += here
        where = f" in group {group}" if group else ""
        advice += _numbers(own, len(rows), int(code.max(initial=-1)) + 1, where, g + 1)
        advice += _variation(here, where)
        advice += ordered_advice(own, data, rows, where)
        advice += _dependence(own, names, values, code, where)
    if specification.single and not data.clustered:
        size = np.zeros(1, int)
    order = sorted(dict.fromkeys(advice), key=lambda text: "no maximum" not in text and "constant" not in text)
    sizes = (float(size.min()), float(np.median(size)), float(size.mean()), float(size.max()))
    singles = int(np.sum(size == 1))
    if singles:
        order.append(
            f"{singles} of {data.nclusters} clusters have a single row: they say nothing about variation within clusters."
        )
    clusters = int(data.independent.max(initial=-1)) + 1 if size.any() else 0
    effects = _design_effects(data)
    advice = [*order, *_units(facts), *_weighting(data, effects)]
    return Diagnosis(data.nrows, clusters, sizes, singles, tuple(facts), tuple(advice), effects)


def _of_categories(specification: Specification, facts: VariableFacts) -> VariableFacts:
    """The facts of an ordered variable by the numbers of its categories from 1, of which data hold codes from 0."""
    count = next((v.categories for v in specification.ordered if v.name == facts.name), 0)
    return replace(facts, mean=facts.mean + 1, categories=count) if count else facts


# a design effect of weights from which on a sentence says what they cost
COSTLY = 2.0


def _weights(data: TwoLevelData, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Of some rows the weights within their cluster, and those of their clusters; None without weights."""
    if not data.weighted:
        return None
    each = np.ones(len(rows)) if data.row_weights is None else data.row_weights[rows]
    return each, data.cluster_weights[data.cluster[rows]]


def _design_effects(data: TwoLevelData) -> tuple[float | None, float | None]:
    if data.survey is None:
        return None, None
    columns = data.survey.columns
    return (
        data.survey.row_effect if columns.sampling_weights else None,
        data.survey.cluster_effect if columns.sampling_weights_between else None,
    )


def _weighting(data: TwoLevelData, effects: tuple[float | None, float | None]) -> list[str]:
    """What weights that vary much cost."""
    out = []
    for effect, what, count in zip(effects, ("rows", "clusters"), (data.nrows, data.nclusters), strict=True):
        if effect is not None and effect >= COSTLY:
            out.append(
                f"The weights of {what} vary much (design effect {effect:.3g}): {count} {what} say as much about a mean as "
                f"{count / effect:.0f} with equal weights. Look at the largest weights; trimming them trades bias for precision."
            )
    return out


def _variable(
    specification: Specification,
    name: str,
    group: str,
    y: np.ndarray,
    code: np.ndarray,
    often: tuple[np.ndarray, np.ndarray] | None,
) -> VariableFacts:
    if often is not None:
        plain = _variable(specification, name, group, y, code, None)
        return replace(plain, **_weighted(plain, y, code, *often))
    known = ~np.isnan(y)
    within_only, between_only = name in specification.within_only, name in specification.between_only
    levels = "one" if specification.single else "within" if within_only else "between" if between_only else "both"
    missing = 1 - known.mean() if len(y) else 1.0
    y, code = y[known], np.unique(code[known], return_inverse=True)[1]
    clusters, rows = (int(code.max()) + 1 if len(code) else 0), len(y)
    nothing = VariableFacts(name, group, levels, np.nan, np.nan, np.nan, np.nan, np.nan, float(missing))
    if specification.single and rows and clusters in (1, rows):
        return VariableFacts(name, group, levels, float(y.mean()), float(y.var()), 0.0, np.nan, np.nan, float(missing))
    if clusters < 2:
        return nothing
    count = np.bincount(code)
    means = np.bincount(code, y) / count
    mean = float(means.mean() if between_only else y.mean())
    if between_only:
        return VariableFacts(name, group, levels, mean, 0.0, float(means.var(ddof=1)), np.nan, np.nan, float(missing))
    scatter = float(np.sum((y - means[code]) ** 2))
    if rows == clusters:
        return nothing
    msw = scatter / (rows - clusters)
    msb = float(count @ (means - y.mean()) ** 2) / (clusters - 1)
    n0 = (rows - (count @ count) / rows) / (clusters - 1)
    between = float((msb - msw) / n0)
    total = between + msw
    pvalue = f_tail(msb / msw, clusters - 1, rows - clusters) if msw > 0 else 0.0
    icc = between / total if levels != "within" and total > 0 else np.nan
    return VariableFacts(name, group, levels, mean, msw, between, float(icc), pvalue, float(missing))


def _weighted(plain: VariableFacts, y: np.ndarray, code: np.ndarray, rows: np.ndarray, clusters: np.ndarray) -> dict:
    """Weighted mean, variances and icc in the place of those by rows; rows, clusters (N,): weights within the cluster and of it.
    The analysis of variance is that in which row i of cluster j occurs w_ij times, and cluster j v_j times, sum v = J.
    """
    if np.isnan(plain.mean):
        return {}
    known = ~np.isnan(y)
    y, code = y[known], np.unique(code[known], return_inverse=True)[1]
    w, first = rows[known], np.unique(code, return_index=True)[1]
    v = clusters[known][first] * (len(first) / clusters[known][first].sum())
    size = np.bincount(code, w)
    means, total, number = np.bincount(code, w * y) / size, float(v @ size), float(v.sum())
    if plain.levels == "between":
        mean = float(v @ means / number)
        return {"mean": mean, "between": float(v @ (means - mean) ** 2 / (number - 1))}
    mean = float((v * size) @ means / total)
    scatter, spread = float((v[code] * w) @ (y - means[code]) ** 2), float((v * size) @ (means - mean) ** 2)
    if np.isnan(plain.pvalue) or total <= number or number <= 1:  # one level without clusters
        return {"mean": mean, "within": (scatter + spread) / total}
    msw = scatter / (total - number)
    n0 = (total - float(v @ size**2) / total) / (number - 1)
    between = (spread / (number - 1) - msw) / n0
    icc = between / (between + msw) if not np.isnan(plain.icc) and between + msw > 0 else np.nan
    return {"mean": mean, "within": msw, "between": between, "icc": icc}


def _numbers(specification: Specification, rows: int, clusters: int, where: str, group: int) -> list[str]:
    """Numbers of clusters and rows against what the model wants."""
    p_within, p_between = len(specification.within.observed), len(specification.between.observed)
    if specification.single:
        if p_within < rows:
            return []
        few = f"{rows} rows{where} but {p_within} variables: the unrestricted model has no maximum, so that there is no chi-square."
        return [f"There are {few} Use fewer variables, or more rows."]
    out = [f"{text[:-1]}{where}." if where else text for text in check_clusters(rows, clusters, p_within, p_between)]
    free = sum(row.free for row in specification.parameters if row.level == 2 and row.group == group)
    if free >= clusters:
        out.append(
            f"The between model has {free} free parameters for {clusters} clusters{where}: expect wide intervals and improper "
            "solutions. Simplify it: fewer factors, equal loadings, or residual variances fixed at 0."
        )
    elif clusters < FEW_CLUSTERS:
        out.append(
            f"There are {clusters} clusters{where}: standard errors of level 2 are too small and chi-square too large with fewer "
            f"than about {FEW_CLUSTERS} to 50. Bootstrap or profile intervals are safer."
        )
    return out


def _variation(facts: list[VariableFacts], where: str) -> list[str]:
    """Variables that do not vary where the model wants them to."""
    out = []

    def tell(names: list[str], text: str) -> None:
        if names:
            out.append(f"{listing(names, 8)}{where}: {text}")

    both = [v for v in facts if v.levels == "both"]
    size = {v.name: abs(v.mean) ** 2 + max(v.within, 0.0) + abs(v.between) for v in facts}
    constant = [v.name for v in facts if v.within + abs(v.between) <= CONSTANT * max(size[v.name], 1e-300)]
    tell(constant, "constant. Remove from the model.")
    varying = [v for v in both if v.name not in constant]
    still = [v.name for v in varying if v.within <= CONSTANT * size[v.name]]
    tell(still, "constant within clusters. Name it at level: 2 only.")
    none = [v.name for v in varying if v.between <= 0 and v.name not in still]
    tell(
        none,
        "no variance between clusters beyond chance (ICC at or below 0). Expect a negative variance at level 2; leave it out "
        "there, or fix its between variance at 0.",
    )
    little = [v.name for v in varying if v.between > 0 and v.pvalue > 0.05 and v.name not in still]
    tell(
        little,
        "variance between clusters that could be chance (F test, p > .05). Its loadings at level 2 will be imprecise.",
    )
    spread = [v.name for v in facts if v.levels == "within" and v.name not in constant and v.pvalue < 0.001]
    tell(
        spread,
        "varies between clusters, but the model has it at level 1 only, so that its within and between effects are taken to be "
        "equal. To tell them apart, name it at level: 2 too.",
    )
    return out


def _dependence(
    specification: Specification, variables: tuple[str, ...], values: np.ndarray, code: np.ndarray, where: str
) -> list[str]:
    """Pairs and sets of variables that are nearly linearly dependent, in the parts that the likelihood sees.

    Variables of level 1 alone keep their cluster means, so that they are looked at over all rows; those of both levels within
    clusters, among themselves and with the former.
    """
    complete = ~np.isnan(values).any(axis=1)
    values, code = values[complete], np.unique(code[complete], return_inverse=True)[1]
    if len(values) < 3:
        return []
    count = np.bincount(code)
    about = values[0]
    means = np.stack([np.bincount(code, y) / count for y in (values - about).T], axis=1) + about
    alone = specification.within_only
    out = []
    for observed, x, freedom, text, must in (
        (alone, values - values.mean(axis=0), len(values) - 1, "over all rows", None),
        (specification.level(1).observed, values - means[code], len(values) - len(count), "within clusters", alone),
        (specification.level(2).observed, means - means.mean(axis=0), len(count) - 1, "in the cluster means", None),
    ):
        at = np.array([variables.index(v) for v in observed if v in variables], dtype=int)
        if len(at):
            sd, largest = np.sqrt(np.mean(x[:, at] ** 2, axis=0)), np.sqrt(np.mean(values[:, at] ** 2, axis=0))
            at = at[sd > 1e-6 * np.maximum(largest, 1e-300)]
        if len(at) < 2 or freedom <= len(at):
            continue
        names = [variables[i] for i in at]
        looked = np.array([must is None or name not in must for name in names])
        out += _near(x[:, at].T @ x[:, at], freedom, names, looked, f"{text}{where}")
    return out


def _near(products: np.ndarray, freedom: int, names: list[str], looked: np.ndarray, where: str) -> list[str]:
    """Advice on variables whose cross-products are those of nearly dependent ones; one of `looked` must be among them."""
    scale = np.sqrt(np.diag(products))
    correlation = products / np.outer(scale, scale)
    pairs = [
        f"{names[i]} and {names[j]} ({correlation[i, j]:.3f})"
        for i, j in zip(*np.triu_indices(len(names), 1), strict=True)
        if abs(correlation[i, j]) > NEARLY_ONE and (looked[i] or looked[j])
    ]
    if pairs:
        return [f"Nearly the same variable {where}: {listing(pairs)}. Drop one, or average them."]
    found = dependence(products, freedom, looked, (NEARLY_COLLINEAR,))
    if found is None:
        return []
    involved = [name for name, weight in zip(names, np.abs(found.weights), strict=True) if weight > 0.2]
    return [f"Nearly collinear {where}: {listing(involved)} (smallest eigenvalue {found.variance:.1e}). Drop one."]


def _units(facts: list[VariableFacts]) -> list[str]:
    sd = {v.name: np.sqrt(max(v.within, 0.0) + max(v.between, 0.0)) for v in facts}
    sd = {name: value for name, value in sd.items() if np.isfinite(value) and value > 0}
    if not sd or max(sd.values()) < 1e4 * min(sd.values()):
        return []
    low, high = min(sd, key=lambda name: sd[name]), max(sd, key=lambda name: sd[name])
    return [
        f"The standard deviations of {high} and {low} differ by a factor of {sd[high] / sd[low]:.0e}. The fit does not mind, but "
        "estimates are easier to read in other units."
    ]
