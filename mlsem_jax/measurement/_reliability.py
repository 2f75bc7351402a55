"""Reliability of the scales that a model measures, by level: alpha, omega, average variance extracted, H, intraclass correlation.

With S_W and S_B the covariances of a scale's items at the two levels, C = lambda phi lambda' the part that is the factor's,
1'S1 the sum over the items and n the harmonic mean of cluster sizes:

    omega_within           1'C_W 1 / 1'S_W 1                                 (Geldhof, Preacher & Zyphur 2014)
    omega_between          1'C_B 1 / (1'S_B 1 + 1'S_W 1 / n)                 of observed cluster means (Lai 2021, shared construct)
    omega_between_latent   1'C_B 1 / 1'S_B 1                                 of latent cluster means (Geldhof et al. 2014)
    omega_2l               (1'C_W 1 + 1'C_B 1) / (1'S_W 1 + 1'S_B 1)         of raw scores (Lai 2021, configural construct)
    alpha_...              with k / (k - 1) times the covariances of S in place of 1'C 1
    irr                    1'S_B 1 / (1'S_B 1 + 1'S_W 1 / n)                 of clusters, raters agreeing (Spearman & Brown)
    ave_...                tr C / tr Sigma                                   (Fornell & Larcker 1981)
    h_...                  1 / (1 + 1 / sum r^2 / (1 - r^2)), r^2 = C_ii / Sigma_ii   (Hancock & Mueller 2001)
    icc_factor             phi_B / (phi_B + phi_W), where the loadings are equal (Mehta & Neale 2005)

S is that of the saturated model, or with obs_var=False the model's own Sigma.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from mlsem_jax._errors import listing
from mlsem_jax.data import TwoLevelData
from mlsem_jax.estimation import Estimation
from mlsem_jax.inference import Quantity, beside_unrestricted, unrestricted, vcov_beside_unrestricted, vcov_natural
from mlsem_jax.measurement._constructs import Construct, constructs, equal_loadings, reversed_items
from mlsem_jax.measurement._sloped import Sloped
from mlsem_jax.measurement._sums import Moments, Sums, TracedMoments
from mlsem_jax.numerics import delta_errors, float64

WITHIN = ("omega_within", "alpha_within", "ave_within", "h_within")
BETWEEN = (
    "omega_between",
    "omega_between_latent",
    "alpha_between",
    "alpha_between_latent",
    "irr",
    "ave_between",
    "h_between",
)
BOTH = ("omega_2l", "alpha_2l", "icc_factor")
COLUMNS = (
    "omega_within",
    "omega_between",
    "omega_between_latent",
    "omega_2l",
    "alpha_within",
    "alpha_between",
    "alpha_between_latent",
    "alpha_2l",
    "irr",
    "ave_within",
    "ave_between",
    "h_within",
    "h_between",
    "icc_factor",
)
ONE_LEVEL = ("omega_within", "alpha_within", "ave_within", "h_within")
PURPOSE = "Reliability coefficients with observed variances in the denominator (obs_var=True)"

# a coefficient, or the reason why there is none
Found = Sloped | str


@dataclass(frozen=True)
class Coefficients:
    """values, se (r,): of every coefficient of every construct. where: (group from 1, construct, column) of each, undefined:
    the reasons of those that are NaN. warnings: what the user must know.
    """

    where: tuple[tuple[int, str, str], ...]
    values: np.ndarray
    se: np.ndarray
    undefined: dict[tuple[int, str, str], str]
    warnings: tuple[str, ...]


@float64
def reliability(estimation: Estimation, obs_var: bool = True, errors: bool = False) -> Coefficients:
    """Reliability coefficients of all constructs. errors: with delta-method standard errors under the fit's `se` option.

    obs_var: variances of sums of items are those of the saturated model, as in the definition of alpha, or the model's own.
    """
    quantity, vector = reliability_quantity(estimation, obs_var), _vector(estimation, obs_var)
    values, jacobian = quantity.evaluate(vector)
    se = np.full(len(values), np.nan)
    if errors:
        vcov = vcov_beside_unrestricted(estimation, PURPOSE) if obs_var else vcov_natural(estimation)
        se = delta_errors(np, jacobian, vcov)
    return Coefficients(
        tuple(_places(estimation)), values, se, reasons(estimation, obs_var), tuple(_warnings(estimation))
    )


def reliability_quantity(estimation: Estimation, obs_var: bool = False) -> Quantity:
    """`reliability` as a function of the natural parameters; with obs_var=True of these and the unrestricted moments.

    Names are as in "f~omega_within", with the group after it where there are several.
    """
    if obs_var:
        unrestricted(estimation, PURPOSE)
    places = _places(estimation)

    def closed(vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = _coefficients(estimation, vector, obs_var)
        values, jacobian = np.full(len(places), np.nan), np.full((len(places), len(vector)), np.nan)
        for i, key in enumerate(places):
            one = found[key]
            if isinstance(one, Sloped):
                values[i], jacobian[i] = one.value, one.slope
        return values, jacobian

    def traced(natural: Any) -> Any:
        moments = {group: TracedMoments(estimation, natural, group) for group in {key[0] for key in places}}
        found = _coefficients(estimation, natural, False, moments)
        values = (found[key] for key in places)
        return jnp.stack(
            [jnp.nan if key in lost or isinstance(v, str) else v.value for key, v in zip(places, values, strict=True)]
        )

    lost = set(reasons(estimation, obs_var))
    names = (f"{name}~{column}" + (f".g{group}" if group > 1 else "") for group, name, column in places)
    return Quantity(tuple(names), traced=None if obs_var else traced, closed=closed)


def reasons(estimation: Estimation, obs_var: bool = True) -> dict[tuple[int, str, str], str]:
    """Why coefficients are not defined, by (group, construct, column)."""
    found = _coefficients(estimation, _vector(estimation, obs_var), obs_var)
    return {key: why for key, why in found.items() if isinstance(why, str)}


def harmonic_mean_size(data: TwoLevelData, group: int) -> float:
    """J / sum 1 / n_j over the clusters of a group (from 1), n_j rows with a level-1 value; with weights of clusters both are
    weighted sums.
    """
    rows = np.ones(len(data.cluster), bool)
    if data.has_rows:
        rows = data.seen
    sizes = np.bincount(data.cluster, rows, data.nclusters)
    here = (data.group == group - 1) & (sizes > 0)
    weights = data.cluster_weights[here]
    return float(weights.sum() / (weights / sizes[here]).sum())


def _vector(estimation: Estimation, obs_var: bool) -> np.ndarray:
    return beside_unrestricted(estimation, PURPOSE) if obs_var else estimation.model.natural


def _places(estimation: Estimation) -> list[tuple[int, str, str]]:
    specification = estimation.model.build.specification
    columns = ONE_LEVEL if specification.single else COLUMNS
    return [(c.group, c.name, column) for c in constructs(specification) for column in columns]


def _coefficients(
    estimation: Estimation, vector: np.ndarray, obs_var: bool, moments: Mapping[int, Moments] | None = None
) -> dict[tuple[int, str, str], Found]:
    specification = estimation.model.build.specification
    columns = ONE_LEVEL if specification.single else COLUMNS
    if moments is None:
        moments = {group: Moments(estimation, vector, group) for group in range(1, specification.ngroups + 1)}
    out: dict[tuple[int, str, str], Found] = {}
    for construct in constructs(specification):
        found = _of_construct(estimation, moments[construct.group], construct, obs_var)
        out |= {(construct.group, construct.name, column): found[column] for column in columns}
    return out


def _of_construct(estimation: Estimation, moments: Moments, construct: Construct, obs_var: bool) -> dict[str, Found]:
    """All coefficients of one construct."""
    scales = construct.scales
    words = {1: "within", 2: "between"}
    out: dict[str, Found] = {}
    for level, columns in ((1, WITHIN), (2, BETWEEN)):
        if level not in scales:
            out |= dict.fromkeys(columns, f"{construct.name!r} is no factor at level {level}")
        elif scales[level].latent:
            latent = ", ".join(map(repr, scales[level].latent))
            out |= dict.fromkeys(
                columns, f"{latent}, which {construct.name!r} is measured by, are latent: no sum of items"
            )
        else:
            out |= _by_variance(moments, construct, level, words[level])
            out |= _of_level(estimation, moments, construct, level, obs_var)
    return out | _across(estimation, moments, construct, obs_var, out)


def _sums(moments: Moments, level: int, items: tuple[str, ...], obs_var: bool) -> Sums:
    return moments.unrestricted(level, items) if obs_var else moments.implied(level, items)


def _of_level(
    estimation: Estimation, moments: Moments, construct: Construct, level: int, obs_var: bool
) -> dict[str, Found]:
    """Coefficients of the sum of the items at one level."""
    scale = construct.scales[level]
    own, s = moments.own(level, construct.name, scale).total, _sums(moments, level, scale.items, obs_var)
    covariances = _alpha_part(s, len(scale.items))
    if level == 1:
        return {"omega_within": _ratio(own, s.total), "alpha_within": _ratio(covariances, s.total)}
    error = _sums(moments, 1, scale.items, obs_var).total
    means = s.total + error.times(1 / harmonic_mean_size(estimation.data, construct.group))
    return {
        "omega_between": _ratio(own, means),
        "omega_between_latent": _ratio(own, s.total),
        "alpha_between": _ratio(covariances, means),
        "alpha_between_latent": _ratio(covariances, s.total),
        "irr": _ratio(s.total, means),
    }


def _across(
    estimation: Estimation, moments: Moments, construct: Construct, obs_var: bool, found: dict[str, Found]
) -> dict[str, Found]:
    """Coefficients of raw scores, which are sums of both levels."""
    scales = construct.scales
    if set(scales) != {1, 2}:
        return dict.fromkeys(BOTH, f"{construct.name!r} is a factor at one level only")
    for level, column in ((1, "omega_within"), (2, "omega_between")):
        if scales[level].latent:
            return dict.fromkeys(BOTH, found[column])
    if set(scales[1].items) != set(scales[2].items):
        return dict.fromkeys(BOTH, f"{construct.name!r} has other items at level 2 than at level 1")
    items = scales[1].items
    s = [_sums(moments, level, items, obs_var) for level in (1, 2)]
    own = [moments.own(level, construct.name, scales[level]).total for level in (1, 2)]
    total = s[0].total + s[1].total
    alpha = [_alpha_part(one, len(items)) for one in s]
    both = alpha[0] if isinstance(alpha[0], str) else alpha[0] + alpha[1]  # type: ignore[operator]
    icc: Found = (
        f"the loadings of {construct.name!r} are not equal across the levels, so that its variances are in other units"
    )
    if equal_loadings(estimation, construct):
        within, between = (moments.factor_variance(level, construct.name) for level in (1, 2))
        icc = _ratio(between, within + between)
    return {"omega_2l": _ratio(own[0] + own[1], total), "alpha_2l": _ratio(both, total), "icc_factor": icc}


def _alpha_part(s: Sums, k: int) -> Found:
    return s.off.times(k / (k - 1)) if k > 1 else "alpha needs two items at least"


def _ratio(numerator: Found, denominator: Sloped) -> Found:
    if isinstance(numerator, str):
        return numerator
    if not denominator.positive:
        return "the variance of the sum of its items is not positive"
    return numerator / denominator


def _by_variance(moments: Moments, construct: Construct, level: int, word: str) -> dict[str, Found]:
    """Average variance extracted and H, from the model's own variances."""
    scale = construct.scales[level]
    parts = moments.own_parts(level, construct.name, scale)
    totals = moments.implied_variances(level, scale.items)
    explained = functools.reduce(operator.add, parts)
    out: dict[str, Found] = {f"ave_{word}": _ratio(explained, functools.reduce(operator.add, totals))}
    beyond = [item for item, part, total in zip(scale.items, parts, totals, strict=True) if not part.part_of(total)]
    if beyond:
        why = f"the factor explains all the variance of {', '.join(map(repr, beyond))}, or more than that"
        return out | {f"h_{word}": why}
    ratios = [part / (total - part) for part, total in zip(parts, totals, strict=True)]
    return out | {f"h_{word}": functools.reduce(operator.add, ratios).inverse_of_one_plus_inverse()}


def _warnings(estimation: Estimation) -> list[str]:
    """What makes a sum of items doubtful: reversed items, other items at the other level."""
    specification = estimation.model.build.specification
    out: dict[str, None] = {}
    exploratory = {(block.group, name) for block in specification.blocks for name in block.factors}
    if exploratory:
        named = listing(dict.fromkeys(repr(name) for _, name in sorted(exploratory)))
        out[
            f"{named}: a factor of an efa() block is measured by all items of the block, so that its coefficients are those of "
            "their sum. For scales of some of them fit the model that says which, as in f =~ y1 + y2 + y3."
        ] = None
    for construct in constructs(specification):
        if (construct.group, construct.name) in exploratory:
            continue
        group = f" in group {specification.groups[construct.group - 1]!r}" if specification.groups else ""
        for level, items in reversed_items(estimation, construct).items():
            at = "" if specification.single else f" at level {level}"
            named = ", ".join(map(repr, items))
            out[
                f"{named}: the loading on {construct.name!r}{at}{group} has another sign than those of the other items, so that a "
                "sum with unit weights makes no sense. Reverse the item in the data."
            ] = None
        if set(construct.scales) == {1, 2}:
            one, two = (set(construct.scales[level].items) for level in (1, 2))
            if differ := sorted(one ^ two):
                out[
                    f"{construct.name!r} is measured by other items at level 2 than at level 1 ({', '.join(map(repr, differ))} at "
                    "one of them only), so that its coefficients of both levels together are not defined (NaN)."
                ] = None
    return list(out)
