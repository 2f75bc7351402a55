"""What every option is, in one sentence each: the one place that the documentation, `help()` and signatures are made from.

Names are the fields of the option records (`FitOptions`, `SyntaxOptions`, `SurveyColumns`) and a few arguments of the functions;
values are those of the rules in `options/_options.py`; defaults are those of the records. A test holds all of them together.
"""

# ruff: noqa: E501 (a table: one option a line)

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Option:
    """about: what it does. lavaan: its name there, "" where lavaan has none. page: the page that explains it. default, values: in
    words, where the default depends on something and where no rule says the values; "" for those of the record and of the rule.
    """

    name: str
    lavaan: str
    page: str
    about: str
    default: str = ""
    values: str = ""


_COLUMN = "the name of one column"
_BY_FUNCTION = "True in sem, cfa and growth"

SECTIONS: dict[str, tuple[Option, ...]] = {
    "Data and groups": (
        Option("cluster", "cluster", "quickstart.md", "The column that says which cluster each row is in.", "none", _COLUMN),
        Option("group", "group", "lavaan.md", "A column of groups; the model is fitted to all of them together.", "none", _COLUMN),
        Option("group_label", "group.label", "lavaan.md", "The groups in the order wanted; others are left out.", "as they appear"),
        Option("missing", "missing", "missing.md", "'listwise' leaves incomplete rows out; 'ml' (also 'fiml', 'direct') uses every value that is there; 'pairwise' is of ordered variables."),
        Option("ordered", "ordered", "ordinal.md", "Variables seen in ordered categories.", "none"),
        Option("plausible_values", "", "imputations.md", "Variables of the model, each with the columns that hold its plausible values; the fits are pooled.", "none", "a dictionary, {'math': ['PV1MATH', 'PV2MATH']}"),
        Option("only_converged", "", "imputations.md", "Of several imputations, leave out fits that did not converge.", "False", "True or False"),
    ),
    "What is added to a model text": (
        Option("std_lv", "std.lv", "lavaan.md", "Latent variances are 1 and all loadings free, in place of a first loading of 1."),
        Option("effect_coding", "effect.coding", "lavaan.md", "The loadings of a factor average 1, its intercepts sum to 0 (True: both).", "neither"),
        Option("fixed_x", "fixed.x", "missing.md", "The moments of observed covariates are held at those of the data."),
        Option("orthogonal", "orthogonal", "lavaan.md", "Latent variables do not covary unless the text says so."),
        Option("meanstructure", "meanstructure", "lavaan.md", "Means and intercepts are part of the model.", "True with two levels, groups or missing='ml', and where the text speaks of means"),
        Option("int_ov_free", "int.ov.free", "lavaan.md", "Intercepts of observed variables are free.", "True in sem and cfa"),
        Option("int_lv_free", "int.lv.free", "lavaan.md", "Means of latent variables are free.", "True in growth"),
        Option("auto_fix_first", "auto.fix.first", "lavaan.md", "The first loading of every factor is 1.", _BY_FUNCTION + ", but not with std_lv and effect_coding"),
        Option("auto_fix_single", "auto.fix.single", "lavaan.md", "The residual variance of a factor's only indicator is 0.", _BY_FUNCTION),
        Option("auto_var", "auto.var", "lavaan.md", "Variances and residual variances are there and free.", _BY_FUNCTION),
        Option("auto_cov_lv_x", "auto.cov.lv.x", "lavaan.md", "Exogenous latent variables covary.", _BY_FUNCTION),
        Option("auto_cov_y", "auto.cov.y", "lavaan.md", "Dependent variables that explain nothing covary.", _BY_FUNCTION),
        Option("group_equal", "group.equal", "lavaan.md", "Kinds of parameters that are equal in all groups.", "none"),
        Option("group_partial", "group.partial", "lavaan.md", "Parameters that group_equal leaves free, by name.", "none"),
        Option("level_label", "level.label", "lavaan.md", "The words after 'level:' that mean level 1 and level 2.", "1 and 2, within and between, or in order"),
        Option("rotation", "rotation", "measurement.md", "How efa() blocks are rotated.", "'geomin'"),
        Option("rotation_args", "rotation.args", "measurement.md", "Arguments of the rotation: epsilon, gamma, orthogonal, kaiser, target, starts, seed.", "none"),
        Option("parameterization", "parameterization", "ordinal.md", "What gives latent responses their scale: their residual variance, or (delta) their variance. Delta where the text has values of scales, `u ~*~ c(1, NA)*u`.", "'theta'"),
    ),
    "Estimation": (
        Option("estimator", "estimator", "lavaan.md", "'ML'; 'MLR' and 'MLF' are the same estimates with other standard errors; the others are of ordered variables.", "'ML'; 'WLSMV' with ordered=; 'MLR' with weights, and with cluster= in a model of one level"),
        Option("link", "link", "ordinal.md", "Of ordered variables under ML: a normal or a logistic latent response."),
        Option("integration", "", "ordinal.md", "Of ordered variables under ML: how the integral at level 2 is computed."),
        Option("integration_points", "integration.ngh", "ordinal.md", "Of ordered variables under ML: points of the quadrature for each dimension."),
        Option("bounds", "bounds", "convergence.md", "Limits of variances, or of parameters by name."),
        Option("start", "start", "convergence.md", "Starting values: of a word, a fit, a parameter table, or by name."),
    ),
    "Standard errors and tests": (
        Option("se", "se", "lavaan.md", "How standard errors are computed; 'robust' is the robust way of the estimator.", "of the estimator"),
        Option("test", "test", "lavaan.md", "The test of the model against the unrestricted one.", "of the estimator"),
        Option("information", "information", "lavaan.md", "The information matrix that standard errors rest on.", "'observed'; 'expected' in complete data of one level and for ordered variables"),
        Option("bootstrap", "bootstrap", "lavaan.md", "Draws of se='bootstrap'."),
        Option("iseed", "iseed", "lavaan.md", "Seed of se='bootstrap'."),
        Option("h1", "h1", "lavaan.md", "Fit the unrestricted model; without it there is no chi-square and no fit index."),
        Option("baseline", "baseline", "lavaan.md", "Fit the baseline model; without it there is no CFI and no TLI."),
    ),
    "The search": (
        Option("optim_method", "optim.method", "convergence.md", "The solver: Fisher scoring finished by Newton steps, another word, or a solver object."),
        Option("iter_max", "control = list(iter.max)", "convergence.md", "Iterations at most; of EM em_iter_max."),
        Option("em_iter_max", "em.iter.max", "convergence.md", "Iterations of optim_method='em' at most."),
        Option("em_fx_tol", "em.fx.tol", "convergence.md", "EM ends where the log-likelihood changes by less and the gradient is small (em_dx_tol)."),
        Option("em_dx_tol", "em.dx.tol", "convergence.md", "The largest element of the gradient at which EM may end."),
        Option("em_acceleration", "", "convergence.md", "Extrapolate the steps of EM (Varadhan & Roland 2008)."),
        Option("verbose", "verbose", "convergence.md", "Show the iterations on stderr."),
    ),
    "Surveys": (
        Option("sampling_weights", "sampling.weights", "surveys.md", "A column of weights of rows; with two levels given their cluster.", "none"),
        Option("sampling_weights_between", "", "surveys.md", "A column of weights of clusters.", "none"),
        Option("sampling_weights_scaling", "", "surveys.md", "How weights of rows are scaled in a model of two levels."),
        Option("sampling_weights_normalization", "sampling.weights.normalization", "surveys.md", "How weights are scaled in a model of one level."),
        Option("strata", "", "surveys.md", "A column of strata.", "none"),
        Option("lonely", "", "surveys.md", "What becomes of a stratum with one unit: an error, or deviations from the mean of all."),
        Option("replicate_weights", "", "surveys.md", "Columns of replicate weights.", "none"),
        Option("replicate_type", "", "surveys.md", "How the replicate weights were made.", "must be given with replicate_weights"),
        Option("fay", "", "surveys.md", "Fay's factor of balanced repeated replication."),
    ),
}  # fmt: skip

# of the functions of network models; their options of the search and of surveys are those above
NETWORKS: tuple[Option, ...] = (
    Option("clusters", "", "psychonetrics.md", "The column that says which cluster each row is in.", "must be given", _COLUMN),
    Option("vars", "", "psychonetrics.md", "The columns to model.", "all others"),
    Option("groups", "", "psychonetrics.md", "A column of groups.", "none", _COLUMN),
    Option("equal", "", "psychonetrics.md", "Matrices that are equal in all groups.", "none"),
    Option("within_only", "", "psychonetrics.md", "Variables of level 1 only.", "none"),
    Option("between_only", "", "psychonetrics.md", "Variables of level 2 only, the last of vars.", "none"),
    Option("estimator", "", "psychonetrics.md", "'default', 'ML' and 'FIML' are one and the same; 'MLR' adds robust standard errors and a scaled test.", "'default'", "'default', 'ML', 'FIML', 'MLR'"),
    Option("information", "", "psychonetrics.md", "The information matrix that standard errors rest on.", "'expected' for complete data, else 'observed'"),
    Option("missing", "", "psychonetrics.md", "'ml' uses every value that is there, 'listwise' complete rows.", "'ml'"),
    Option("identification", "", "psychonetrics.md", "What gives latent variables their scale.", "'loadings'"),
    Option("standardize", "", "psychonetrics.md", "Standardize every variable over all rows, or give it normal scores.", "'none'"),
)  # fmt: skip

TABLE: dict[str, Option] = {option.name: option for options in (NETWORKS, *SECTIONS.values()) for option in options}
