"""ml_lvm and its relatives: from a user's arguments to a Model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from mlsem_jax._errors import ModelError
from mlsem_jax._option_docs import with_options
from mlsem_jax.networks._arguments import fit_options, make_model, only, read_data, split_keywords
from mlsem_jax.networks._edit import check_kind
from mlsem_jax.networks._fit import Model
from mlsem_jax.networks._layout import LEVELS, Block, Layout
from mlsem_jax.networks._loadings import latent_names, read_loadings
from mlsem_jax.options import LatentOptions, LvmOptions, ObservedOptions, VarcovOptions


@with_options(LvmOptions)
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
    **patterns: Unpack[LvmOptions],
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
    - `se`, `test`, `h1`, `baseline`, `verbose`, `iter_max`, and what is of surveys (`sampling_weights`,
      `sampling_weights_between`, `sampling_weights_scaling`, `strata`, `replicate_weights`, `replicate_type`, `fay`): as in
      [`mlsem_jax.sem`][].

    **Returns:** a `Model`; its `fit()` gives a [`mlsem_jax.Fit`][].

    **Raises:** ModelError, DataError.
    """
    given_kinds = {
        "within_latent": within_latent,
        "within_residual": within_residual,
        "between_latent": between_latent,
        "between_residual": between_residual,
    }
    kinds = {argument: check_kind(argument, kind) for argument, kind in given_kinds.items()}
    options, survey, given_patterns = split_keywords(dict(**patterns))
    within_only, between_only = only(within_only, between_only)
    prepared, labels, names = read_data(data, clusters, groups, vars, within_only, between_only, standardize, survey)
    given = {"lambda": lambda_, "lambda_within": lambda_within, "lambda_between": lambda_between}
    loadings, widths, given = read_loadings(given, names, labels)
    factors = latent_names(latents, widths, names if loadings == "none" else None)
    blocks = []
    for level, where in LEVELS.items():
        blocks.append(Block("zeta_", level, kinds[f"{where}_latent"], "psi", factors[level - 1]))
        blocks.append(Block("epsilon_", level, kinds[f"{where}_residual"], "theta", names))
    layout = Layout("lvm", names, factors, tuple(blocks), loadings, tuple(within_only), tuple(between_only), labels)
    return make_model(
        "ml_lvm",
        layout,
        prepared,
        given | given_patterns,
        equal,
        identification,
        fit_options(estimator, information, options, prepared),
    )


def _special(name: str, kinds: dict[str, Any], data: Any, lambda_: Any, options: dict[str, Any]) -> Model:
    """ml_lvm with some kinds set, which the caller may then not choose."""
    for argument in kinds.keys() & options.keys():
        raise ModelError(f"{name} sets {argument}={kinds[argument]!r}; to choose it yourself use ml_lvm.")
    return ml_lvm(data, lambda_, **kinds, **options).but(function=name)


LATENT = {"within_latent": "ggm", "between_latent": "ggm"}
RESIDUAL = {"within_residual": "ggm", "between_residual": "ggm"}


@with_options(LatentOptions)
def ml_lnm(data: Any, lambda_: Any = None, **options: Unpack[LatentOptions]) -> Model:
    """A two-level latent network model: `ml_lvm`, with its arguments, where both latent covariance matrices are "ggm"."""
    return _special("ml_lnm", LATENT, data, lambda_, dict(**options))


@with_options(LatentOptions)
def ml_rnm(data: Any, lambda_: Any = None, **options: Unpack[LatentOptions]) -> Model:
    """A two-level residual network model: `ml_lvm`, with its arguments, where both residual covariance matrices are "ggm"."""
    return _special("ml_rnm", RESIDUAL, data, lambda_, dict(**options))


@with_options(LatentOptions)
def ml_lrnm(data: Any, lambda_: Any = None, **options: Unpack[LatentOptions]) -> Model:
    """A two-level latent and residual network model: `ml_lvm`, with its arguments, where all four matrices are "ggm"."""
    return _special("ml_lrnm", LATENT | RESIDUAL, data, lambda_, dict(**options))


@with_options(VarcovOptions)
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
    **patterns: Unpack[VarcovOptions],
) -> Model:
    """A two-level model of observed variables: means, a within and a between covariance matrix.

    `within`, `between`: "cov" "chol" "prec" "ggm" "cor". Patterns: `mu`, and `sigma_within`, `lowertri_within`, `kappa_within`,
    `omega_within`, `delta_within`, `rho_within`, `SD_within`, and the same for `between`. Everything else is as in `ml_lvm`.
    """
    kind_1, kind_2 = check_kind("within", within), check_kind("between", between)
    options, survey, given_patterns = split_keywords(dict(**patterns))
    within_only, between_only = only(within_only, between_only)
    prepared, labels, names = read_data(data, clusters, groups, vars, within_only, between_only, standardize, survey)
    blocks = (Block("", 1, kind_1, "theta", names), Block("", 2, kind_2, "theta", names))
    layout = Layout("varcov", names, ((), ()), blocks, "none", tuple(within_only), tuple(between_only), labels)
    chosen = fit_options(estimator, information, options, prepared)
    return make_model("ml_varcov", layout, prepared, given_patterns, equal, "none", chosen)


def _both(name: str, kind: str, data: Any, options: dict[str, Any]) -> Model:
    for argument in {"within", "between"} & options.keys():
        raise ModelError(f"{name} sets {argument}={kind!r}; to choose it yourself use ml_varcov.")
    return ml_varcov(data, within=kind, between=kind, **options).but(function=name)


@with_options(ObservedOptions)
def ml_ggm(data: Any, **options: Unpack[ObservedOptions]) -> Model:
    """Gaussian graphical models at both levels, networks of partial correlations: `ml_varcov`, with its arguments, and "ggm"."""
    return _both("ml_ggm", "ggm", data, dict(**options))


@with_options(ObservedOptions)
def ml_corr(data: Any, **options: Unpack[ObservedOptions]) -> Model:
    """Correlations and standard deviations at both levels: `ml_varcov`, with its arguments, and "cor"."""
    return _both("ml_corr", "cor", data, dict(**options))
