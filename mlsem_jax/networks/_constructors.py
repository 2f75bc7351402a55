"""ml_lvm and its relatives: from a user's arguments to a Model. What is not understood is an error, with the nearest known word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlsem_jax._errors import ModelError, listing, nearest
from mlsem_jax.data import TwoLevelData, column_names, prepare
from mlsem_jax.estimation import FitOptions
from mlsem_jax.networks._edit import changed, check_kind
from mlsem_jax.networks._kinds import CORE, SCALE
from mlsem_jax.networks._layout import LEVELS, Block, Layout
from mlsem_jax.networks._loadings import latent_names, read_loadings
from mlsem_jax.networks._model import Model
from mlsem_jax.networks._patterns import read_pattern
from mlsem_jax.networks._standardize import standardized
from mlsem_jax.networks._table import make_table

ESTIMATORS = {"default": "ML", "ML": "ML", "FIML": "ML", "MLR": "MLR"}
# arguments of psychonetrics that have no meaning here, and why
ELSEWHERE = {
    "optimizer": "There is one optimiser, which needs no choice.",
    "storedata": "Leave it out: the data are always kept.",
    "sampleStats": "Pass the data.",
    "covs": "Two-level models need the rows: pass a data frame.",
    "bootstrap": "Fit the model, then call fit.bootstrap().",
    "boot_sub": "Fit the model, then call fit.bootstrap().",
    "boot_resample": "Fit the model, then call fit.bootstrap().",
    "baseline_saturated": "Use baseline=False or h1=False.",
    "identify": "Use identification='none'.",
    "lambda": "It is called lambda_ here.",
    "groupvar": "It is called groups.",
    "group": "It is called groups.",
    "cluster": "It is called clusters.",
}
_FIT_OPTIONS = ("se", "test", "h1", "baseline", "verbose", "iter_max", "missing")


def ml_lvm(
    data: Any,
    lambda_: Any = None,
    *,
    clusters: str | None = None,
    vars: Sequence[str] | None = None,
    within_latent: str = "cov",
    within_residual: str = "cov",
    between_latent: str = "cov",
    between_residual: str = "cov",
    lambda_within: Any = None,
    lambda_between: Any = None,
    latents: Any = None,
    within_only: Sequence[str] = (),
    between_only: Sequence[str] = (),
    groups: str | None = None,
    equal: str | Sequence[str] = (),
    identification: str = "loadings",
    estimator: str = "default",
    information: str | None = None,
    standardize: str = "none",
    **patterns: Any,
) -> Model:
    """A two-level latent variable model in which every covariance matrix may be a network.

    y = nu + Lambda (eta_between + eta_within) + residuals of both levels, with regressions (beta) among latent variables.

    **Arguments:**

    - `data`: a table with one row per unit; `clusters`, `groups`: names of columns; a cluster label that occurs in two groups
      is two clusters. `vars`: the columns to model (default: all others).
    - `lambda_`: pattern of loadings (variables x latent variables), the same loadings at both levels; `lambda_within` and
      `lambda_between` instead give each level its own. Without any the variables themselves are modelled, without residuals.
    - `within_latent`, `within_residual`, `between_latent`, `between_residual`: how each covariance matrix is written: "cov"
      (sigma), "chol" (lowertri: Sigma = L L'), "prec" (kappa: its inverse), "ggm" (omega, delta: Sigma = D (I - Omega)^-1 D with
      partial correlations Omega) or "cor" (rho, SD).
    - `**patterns`: `beta_within`, `beta_between` (default "zero"), `nu`, `nu_eta`, and the matrices by name: `omega_zeta_within`,
      `sigma_epsilon_between`, ... A pattern holds 0 (fixed at zero), 1 (free) and equal integers from 2 on (equal elements, in
      every group), or is "full", "diag" or "zero". Default: latent matrices full, residual ones diagonal.
    - `within_only`, `between_only`: variables of one level only; the latter come last in `vars`.
    - `equal`: names of matrices that are equal across groups. `identification`: "loadings" (the first of every latent variable
      is 1), "variance" (within latent scales are 1) or "none".
    - `estimator`: "default", "ML" and "FIML" are one and the same exact maximum likelihood, with or without missing values;
      "MLR" adds standard errors and a test that are robust (clusters as units). `information`: "expected" (default for complete
      data) or "observed" (default with missing values and for "MLR").
    - `standardize`: "z" or "quantile" (normal scores) of every variable over all rows.
    - `se`, `test`, `h1`, `baseline`, `verbose`, `iter_max`: as in [`mlsem_jax.sem`][].

    **Returns:** a `Model`; its `fit()` gives a [`mlsem_jax.Fit`][].

    **Raises:** ModelError, DataError.
    """
    kinds = {
        "within_latent": within_latent,
        "within_residual": within_residual,
        "between_latent": between_latent,
        "between_residual": between_residual,
    }
    for argument, kind in kinds.items():
        check_kind(argument, kind)
    options, patterns = _split(patterns)
    prepared, labels, names = _prepare(data, clusters, groups, vars, within_only, between_only, standardize)
    given = {"lambda": lambda_, "lambda_within": lambda_within, "lambda_between": lambda_between}
    loadings, widths, given = read_loadings(given, names, labels)
    factors = latent_names(latents, widths, names if loadings == "none" else None)
    blocks = []
    for level, where in LEVELS.items():
        blocks.append(Block("zeta_", level, kinds[f"{where}_latent"], "psi", factors[level - 1]))
        blocks.append(Block("epsilon_", level, kinds[f"{where}_residual"], "theta", names))
    layout = Layout("lvm", names, factors, tuple(blocks), loadings, tuple(within_only), tuple(between_only), labels)
    return _model(
        "ml_lvm",
        layout,
        prepared,
        given | patterns,
        equal,
        identification,
        _fit_options(estimator, information, options, prepared),
    )


def _wrapper(name: str, kinds: dict[str, str], summary: str):
    """ml_lvm with some kinds set, which the caller may then not choose."""

    def constructor(data: Any, lambda_: Any = None, **options: Any) -> Model:
        for argument in kinds.keys() & options.keys():
            raise ModelError(f"{name} sets {argument}={kinds[argument]!r}; to choose it yourself use ml_lvm.")
        return ml_lvm(data, lambda_, **kinds, **options).but(function=name)

    constructor.__name__ = constructor.__qualname__ = name
    constructor.__doc__ = f"{summary}: `ml_lvm` with {', '.join(f'{k}={v!r}' for k, v in kinds.items())}.\n\n    Other arguments are those of `ml_lvm`."
    return constructor


_LATENT = {"within_latent": "ggm", "between_latent": "ggm"}
_RESIDUAL = {"within_residual": "ggm", "between_residual": "ggm"}
ml_lnm = _wrapper("ml_lnm", _LATENT, "A two-level latent network model")
ml_rnm = _wrapper("ml_rnm", _RESIDUAL, "A two-level residual network model")
ml_lrnm = _wrapper("ml_lrnm", _LATENT | _RESIDUAL, "A two-level latent and residual network model")


def ml_varcov(
    data: Any,
    *,
    clusters: str | None = None,
    vars: Sequence[str] | None = None,
    within: str = "cov",
    between: str = "cov",
    within_only: Sequence[str] = (),
    between_only: Sequence[str] = (),
    groups: str | None = None,
    equal: str | Sequence[str] = (),
    estimator: str = "default",
    information: str | None = None,
    standardize: str = "none",
    **patterns: Any,
) -> Model:
    """A two-level model of observed variables: means, a within and a between covariance matrix.

    `within`, `between`: "cov" "chol" "prec" "ggm" "cor". Patterns: `mu`, and `sigma_within`, `lowertri_within`, `kappa_within`,
    `omega_within`, `delta_within`, `rho_within`, `SD_within`, and the same for `between`. Everything else is as in `ml_lvm`.
    """
    for argument, kind in (("within", within), ("between", between)):
        check_kind(argument, kind)
    options, patterns = _split(patterns)
    prepared, labels, names = _prepare(data, clusters, groups, vars, within_only, between_only, standardize)
    blocks = (Block("", 1, within, "theta", names), Block("", 2, between, "theta", names))
    layout = Layout("varcov", names, ((), ()), blocks, "none", tuple(within_only), tuple(between_only), labels)
    fit_options = _fit_options(estimator, information, options, prepared)
    return _model("ml_varcov", layout, prepared, patterns, equal, "none", fit_options)


def _varcov_wrapper(name: str, kind: str, summary: str):
    def constructor(data: Any, **options: Any) -> Model:
        for argument in {"within", "between"} & options.keys():
            raise ModelError(f"{name} sets {argument}={kind!r}; to choose it yourself use ml_varcov.")
        return ml_varcov(data, within=kind, between=kind, **options).but(function=name)

    constructor.__name__ = constructor.__qualname__ = name
    constructor.__doc__ = f"{summary}: `ml_varcov` with within={kind!r}, between={kind!r}.\n\n    Other arguments are those of `ml_varcov`."
    return constructor


ml_ggm = _varcov_wrapper(
    "ml_ggm", "ggm", "Two-level Gaussian graphical models: networks of partial correlations at both levels"
)
ml_corr = _varcov_wrapper("ml_corr", "cor", "Correlations at both levels")


def _split(keywords: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the fit, and the rest, which should be patterns."""
    options = {name: value for name, value in keywords.items() if name in _FIT_OPTIONS}
    return options, {name: value for name, value in keywords.items() if name not in options}


def _prepare(data, clusters, groups, vars, within_only, between_only, standardize) -> tuple[TwoLevelData, tuple, tuple]:
    """Checked data, group labels, and the names of the variables."""
    known = column_names(data)
    if vars is None:
        vars = [name for name in known if name not in (clusters, groups)]
    names = (vars,) if isinstance(vars, str) else tuple(map(str, vars))
    for argument, some in (("within_only", within_only), ("between_only", between_only)):
        if isinstance(some, str):
            raise ModelError(f"{argument} takes a list of variables: [{some!r}].")
        for name in some:
            if name not in names:
                raise ModelError(f"{argument} names {name!r}, which is not among vars.{nearest(name, names)}")
    if set(within_only) & set(between_only):
        raise ModelError(
            f"{listing(set(within_only) & set(between_only))} cannot be both within_only and between_only."
        )
    ordered = [v for v in names if v not in between_only] + [v for v in names if v in between_only]
    if list(names) != ordered:
        raise ModelError(f"Put the between_only variables last: vars={ordered}, and order the rows of lambda_ alike.")
    prepared = prepare(
        data,
        cluster=clusters,
        group=groups,
        within=[v for v in names if v not in between_only],
        between=[v for v in names if v not in within_only],
        missing="ml",
        group_splits_clusters=True,
    )
    return standardized(prepared, standardize), prepared.group_labels, names


def _fit_options(estimator: str, information: str | None, options: dict[str, Any], data: TwoLevelData) -> FitOptions:
    if estimator not in ESTIMATORS:
        raise ModelError(
            f"estimator={estimator!r} is not available.{nearest(estimator, ESTIMATORS)} 'default', 'ML' and 'FIML' are the exact "
            "maximum likelihood, with or without missing values; 'MLR' adds robust standard errors."
        )
    if information is None:
        complete = not np.isnan(data.values).any()
        information = "expected" if complete and estimator != "MLR" else "observed"
    return FitOptions.make(estimator=ESTIMATORS[estimator], information=information, **({"missing": "ml"} | options))


def _model(function, layout: Layout, data, patterns: dict[str, Any], equal, rule: str, options: FitOptions) -> Model:
    rules = ("loadings", "variance", "none")
    if rule not in rules:
        raise ModelError(
            f"identification={rule!r} is not available.{nearest(rule, rules)} Use one of {', '.join(map(repr, rules))}."
        )
    _check_patterns(layout, patterns)
    equal = (equal,) if isinstance(equal, str) else tuple(equal)
    equal = () if equal == ("none",) else equal
    for name in equal:
        if name not in layout.matrices:
            raise ModelError(
                f"equal names {name!r}, which is no matrix of this model.{nearest(name, layout.matrices)} Its matrices are {listing(layout.matrices, 12)}."
            )
    if equal and not layout.groups:
        raise ModelError("equal= is about groups, and there is one group: name their column with groups=.")
    read = {
        name: read_pattern(
            matrix, _default(layout, name) if patterns.get(name) is None else patterns[name], layout.groups
        )
        for name, matrix in layout.matrices.items()
    }
    model = Model(layout, make_table(layout, read, equal), data, options, rule, equal, function)
    return changed(model, model.wanted, "", log=False)


def _default(layout: Layout, name: str) -> str:
    """What psychonetrics takes where no pattern is given."""
    matrix = layout.matrices[name]
    if matrix.block is None:
        return "zero" if matrix.cell == "beta" or (matrix.cell == "lambda" and layout.loadings == "none") else "full"
    return "diag" if matrix.block.part == "epsilon_" else "full"


def _check_patterns(layout: Layout, patterns: dict[str, Any]) -> None:
    """Every pattern names a matrix of the model. Raises ModelError that says what would make it one."""
    known = {f"{name}{block.suffix}": block for block in layout.blocks for name in (*CORE.values(), *SCALE.values())}
    for name in patterns:
        if name in layout.matrices:
            continue
        if name in ELSEWHERE:
            raise ModelError(f"There is no argument {name!r} here. {ELSEWHERE[name]}")
        if name in known:
            block = known[name]
            core = name.removesuffix(block.suffix)
            kind = next(k for k in CORE if core in (CORE[k], SCALE.get(k)))
            where = LEVELS[block.level]
            part = {"zeta_": "_latent", "epsilon_": "_residual", "": ""}[block.part]
            raise ModelError(
                f"{name} is not part of this model: {where}{part}={block.kind!r} is written with {block.core}"
                f"{' and ' + block.scale if block.scale else ''}. For {name} use {where}{part}={kind!r}."
            )
        raise ModelError(
            f"There is no argument {name!r}.{nearest(name, [*layout.matrices, *_FIT_OPTIONS, 'clusters', 'groups'])}"
        )
