"""The options of the public functions as keywords with types, for editors and type checkers: `**options: Unpack[SemOptions]`.

Names are those of the option records, words those of the rules in `_options.py`; a test holds them together. None and "default"
mean the default. `| str` stands beside words because upper and lower case are alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

Names = str | Sequence[str] | None
Flag = bool | None
Word = str | None


class SearchOptions(TypedDict, total=False):
    """How the maximum is searched; of all functions."""

    se: (
        Literal[
            "standard",
            "robust",
            "robust.huber.white",
            "robust.cluster",
            "robust.sem",
            "replicates",
            "bootstrap",
            "none",
        ]
        | Word
    )
    test: Literal["standard", "yuan.bentler", "yuan.bentler.mplus", "satorra.bentler", "scaled.shifted", "none"] | Word
    missing: Literal["listwise", "ml", "fiml", "direct", "pairwise"] | Word
    optim_method: Any
    iter_max: int | None
    em_iter_max: int | None
    em_fx_tol: float | None
    em_dx_tol: float | None
    em_acceleration: Literal["squarem", "none"] | Word
    h1: Flag
    baseline: Flag
    verbose: Flag


class WeightOptions(TypedDict, total=False):
    """Columns of weights and strata; of all functions."""

    sampling_weights: str | None
    sampling_weights_between: str | None
    sampling_weights_scaling: Literal["cluster", "effective", "none"] | Word
    sampling_weights_normalization: Literal["total", "group", "none"] | Word
    strata: str | None
    lonely: Literal["error", "adjust"] | Word


class SurveyOptions(WeightOptions, total=False):
    """Columns of a survey design; of all functions that fit."""

    replicate_weights: Names
    replicate_type: Literal["BRR", "Fay", "JK1", "JK2", "bootstrap"] | Word
    fay: float | None


class TextOptions(TypedDict, total=False):
    """What is added to a model text, and which groups; of all functions that read one."""

    group_label: Sequence[Any] | None
    ordered: bool | str | Sequence[str] | None
    std_lv: Flag
    effect_coding: bool | str | Sequence[str] | None
    fixed_x: Flag
    orthogonal: Flag
    meanstructure: bool | Word
    int_ov_free: Flag
    int_lv_free: Flag
    auto_fix_first: Flag
    auto_fix_single: Flag
    auto_var: Flag
    auto_cov_lv_x: Flag
    auto_cov_y: Flag
    group_partial: Names
    level_label: Sequence[str] | None
    parameterization: Literal["theta", "delta"] | Word
    link: Literal["probit", "logit"] | Word
    integration: Literal["adaptive", "laplace"] | Word
    integration_points: int | None


class ModelOptions(TextOptions, WeightOptions, total=False):
    """Options of ml.model: what makes a model and its statistics, and nothing of a fit."""

    group_equal: Names
    missing: Literal["listwise", "ml", "fiml", "direct"] | Word
    rotation: Literal["geomin", "oblimin", "varimax", "target"] | str | Mapping[str, str] | None
    rotation_args: Mapping[str, Any] | None


class InvarianceOptions(TextOptions, SearchOptions, SurveyOptions, total=False):
    """Options of ml.invariance, whose steps say what is equal."""

    estimator: Literal["ML", "MLR", "MLF", "WLSMV", "DWLS", "WLS", "ULSMV"] | Word
    bounds: Literal["none", "pos.var", "pos.ov.var", "pos.lv.var"] | str | Mapping[str, Any] | None
    start: Any
    information: Literal["observed", "expected", "first.order"] | Word
    bootstrap: int | None
    iseed: int | None


class CommonOptions(InvarianceOptions, total=False):
    """What sem, cfa, growth, lavaan, efa and sam have in common."""

    only_converged: Flag
    group_equal: Names


class SemOptions(CommonOptions, total=False):
    """Options of sem, cfa, growth and lavaan; one row each in the table of options."""

    rotation: Literal["geomin", "oblimin", "varimax", "target"] | str | Mapping[str, str] | None
    rotation_args: Mapping[str, Any] | None


class VarcovOptions(SearchOptions, SurveyOptions, total=False):
    """Options of the fit, and patterns by name, that ml_varcov takes beside its own arguments."""

    mu: Any
    sigma_within: Any
    lowertri_within: Any
    kappa_within: Any
    omega_within: Any
    delta_within: Any
    rho_within: Any
    SD_within: Any
    sigma_between: Any
    lowertri_between: Any
    kappa_between: Any
    omega_between: Any
    delta_between: Any
    rho_between: Any
    SD_between: Any


class NetworkArguments(TypedDict, total=False):
    """Arguments by name of all functions of network models."""

    clusters: str | None
    vars: Sequence[str] | None
    within_only: Names
    between_only: Names
    groups: str | None
    equal: Names
    estimator: Literal["default", "ML", "FIML", "MLR"] | str
    information: Literal["observed", "expected", "first.order"] | Word
    standardize: Literal["none", "z", "quantile"] | str


class ObservedOptions(NetworkArguments, VarcovOptions, total=False):
    """Arguments of ml_ggm and ml_corr, as of ml_varcov."""


class LvmOptions(SearchOptions, SurveyOptions, total=False):
    """Options of the fit, and patterns by name, that ml_lvm takes beside its own arguments."""

    beta_within: Any
    beta_between: Any
    nu: Any
    nu_eta: Any
    sigma_zeta_within: Any
    lowertri_zeta_within: Any
    kappa_zeta_within: Any
    omega_zeta_within: Any
    delta_zeta_within: Any
    rho_zeta_within: Any
    SD_zeta_within: Any
    sigma_epsilon_within: Any
    lowertri_epsilon_within: Any
    kappa_epsilon_within: Any
    omega_epsilon_within: Any
    delta_epsilon_within: Any
    rho_epsilon_within: Any
    SD_epsilon_within: Any
    sigma_zeta_between: Any
    lowertri_zeta_between: Any
    kappa_zeta_between: Any
    omega_zeta_between: Any
    delta_zeta_between: Any
    rho_zeta_between: Any
    SD_zeta_between: Any
    sigma_epsilon_between: Any
    lowertri_epsilon_between: Any
    kappa_epsilon_between: Any
    omega_epsilon_between: Any
    delta_epsilon_between: Any
    rho_epsilon_between: Any
    SD_epsilon_between: Any


class LatentOptions(NetworkArguments, LvmOptions, total=False):
    """Arguments of ml_lnm, ml_rnm and ml_lrnm, as of ml_lvm."""

    within_latent: str
    within_residual: str
    between_latent: str
    between_residual: str
    lambda_within: Any
    lambda_between: Any
    latents: Any
    identification: Literal["loadings", "variance", "none"] | str
