"""The table of lavInspect's words: what each stands for, and who answers. The page of the documentation is made from it."""

# ruff: noqa: E501 (a table: one word a line)

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mlsem_jax import inference
from mlsem_jax._status import Status
from mlsem_jax._version import __version__
from mlsem_jax.inference import Standardization, predict, refuse_limited
from mlsem_jax.report import _inspect_data as data
from mlsem_jax.report import _inspect_information as info
from mlsem_jax.report import _inspect_matrices as model
from mlsem_jax.report._indices import modification_table
from mlsem_jax.report._results import Results
from mlsem_jax.report._scores import cluster_series, scores_table

Answer = Callable[[Results], Any]


@dataclass(frozen=True)
class Word:
    """about: what is answered. aliases: other words for the same. only: the models that have it, "" for all."""

    name: str
    about: str
    answer: Answer
    aliases: tuple[str, ...] = ()
    only: str = ""


def _word(name: str, about: str, answer: Answer, *aliases: str, only: str = "") -> Word:
    return Word(name, about, answer, aliases, only)


def _loglik(results: Results) -> float:
    refuse_limited(results.estimation, "There is no log-likelihood")
    return results.estimation.loglik


def _optim(results: Results) -> dict[str, Any]:
    maximum = results.estimation.model.maximum
    return {
        "converged": results.converged,
        "status": str(results.status),
        "iterations": maximum.iterations,
        "fx" if results.estimation.limited is not None else "logl": results.estimation.loglik,
        "gradient": float(np.abs(maximum.gradient).max(initial=0.0)),
        "decrement": maximum.decrement,
    }


def _values(column: str) -> Answer:
    return lambda results: model.matrices(results.estimation, results.table()[column].to_numpy(float))


def _standardized(kind: Standardization) -> Answer:
    return lambda results: model.matrices(results.estimation, results.standardized(kind)["est.std"].to_numpy(float))


def _ranef(results: Results) -> Any:
    estimation = results.estimation
    return scores_table(predict(estimation, 2, estimation.data), estimation.data, 2, False)


def _casewise(results: Results) -> Any:
    return cluster_series(results.estimation, inference.loglik_by_cluster(results.estimation), "loglik")


def _norig(results: Results) -> int:
    return results.estimation.data.nrows + sum(count for _, count in results.estimation.data.rows_dropped)


def _level_labels(results: Results) -> list[str]:
    """The words of the text; where it has numbers, "within" and the column of clusters, as in a summary."""
    if results.specification.single:
        return []
    own = [level.label for level in results.specification.levels]
    names = ("within", results.estimation.data.cluster_name)
    return [name if label in ("", "1", "2") else label for label, name in zip(own, names, strict=True)]


def _latent(results: Results) -> list[str]:
    return list(dict.fromkeys((*results.specification.within.latent, *results.specification.between.latent)))


def _fixed_covariates(results: Results) -> list[str]:
    specification = results.specification
    fixed = {*specification.within.covariates, *specification.between.covariates}
    return [name for name in specification.variables if name in fixed]


def _of(function: Callable[[Any], Any]) -> Answer:
    """An answer that the estimation gives."""
    return lambda results: function(results.estimation)


_EST, _RESID = _values("est"), lambda results: results.residuals()

SECTIONS: dict[str, tuple[Word, ...]] = {
    "Model matrices": (
        _word("free", "Numbers of the free parameters, 0 where fixed.", model.numbered("free")),
        _word("partable", "Numbers of the rows of the parameter table, from 1.", model.numbered("row")),
        _word("est", "Estimates.", _EST, "estimates", "coefficients", "x", "coef.matrices"),
        _word("se", "Standard errors.", _values("se"), "std.err", "standard.errors"),
        _word("std", "Estimates standardized by all variables.", _standardized("std.all"), "std.all", "standardized"),
        _word("std.lv", "Estimates standardized by latent variables.", _standardized("std.lv")),
        _word("std.nox", "Standardized, exogenous observed variables left as they are.", _standardized("std.nox")),
        _word("se.std", "Standard errors of standardized estimates.", model.standardized_errors, "std.se"),
        _word("est.unrotated", "Estimates of a model without efa() blocks.", model.unrotated),
        _word("dx.free", "Derivatives of the discrepancy in the free parameters.", model.gradients),
        _word("lambda", "Loadings.", model.one_matrix("lambda"), "mm.lambda"),
        _word("theta", "(Residual) covariances of observed variables.", model.one_matrix("theta"), "mm.theta", "theta.cov"),
        _word("psi", "(Residual) covariances of latent variables.", model.one_matrix("psi"), "mm.psi"),
        _word("beta", "Regressions.", model.one_matrix("beta"), "mm.beta"),
        _word("nu", "Intercepts of observed variables.", model.one_matrix("nu"), "mm.nu"),
        _word("alpha", "Intercepts of latent variables.", model.one_matrix("alpha"), "mm.alpha"),
        _word("tau", "Thresholds.", model.thresholds, "th", "thresholds", "mm.tau", only="ordered variables"),
        _word("mm.delta", "Scales of latent responses, 1 / sd.", model.response_scales, only="ordered variables"),
        _word("theta.cor", "`theta` as correlations.", model.residual_correlations),
    ),
    "Data": (
        _word("data", "The rows and variables that were used.", _of(data.rows_used)),
        _word("ordered", "Names of the ordered variables.", _of(data.ordered_names)),
        _word("nobs", "Rows used, by group.", lambda r: data.group_counts(r.estimation, "nobs")),
        _word("ntotal", "Rows used.", lambda r: r.estimation.data.nrows),
        _word("norig", "Rows of the table.", _norig),
        _word("case.idx", "Labels of the rows used.", _of(data.row_labels)),
        _word("patterns", "Patterns of missing values, 1 where observed.", _of(data.patterns), "missing.patterns"),
        _word("patterns.freq", "Rows of each of them.", _of(data.pattern_counts), "pattern.freq"),
        _word("response.patterns", "Patterns of answers to ordered variables.", _of(data.response_patterns), "resp.patterns", only="ordered variables"),
        _word("coverage", "Share of rows in which both variables of a pair are seen.", _of(data.coverage)),
        _word("sampling.weights", "Weights of rows as they count.", _of(data.row_weights), "weights", only="weights of rows"),
        _word("group", "The column of groups.", lambda r: r.estimation.data.group_name),
        _word("ngroups", "Number of groups.", lambda r: r.estimation.data.ngroups),
        _word("group.label", "Labels of the groups.", lambda r: list(r.specification.groups)),
        _word("nlevels", "Number of levels.", lambda r: len(r.specification.levels)),
        _word("level.label", "Words of the levels.", _level_labels),
        _word("cluster", "The column of clusters.", lambda r: r.estimation.data.cluster_name),
        _word("nclusters", "Clusters, by group.", lambda r: data.group_counts(r.estimation, "nclusters")),
        _word("cluster.id", "Ids of the clusters in the order of appearance.", _of(data.cluster_ids)),
        _word("cluster.idx", "Number of the cluster of every row, from 1.", _of(data.cluster_codes)),
        _word("cluster.label", "Id of the cluster of every row.", _of(data.cluster_labels)),
        _word("cluster.size", "Rows of every cluster.", _of(data.cluster_sizes)),
        _word("cluster.sizes", "The sizes that there are.", _of(data.distinct_sizes)),
        _word("ncluster.size", "How many different sizes there are.", lambda r: model.each_group(r, data.distinct_sizes(r.estimation), len)),
        _word("average.cluster.size", "(N² - Σn²) / (N (J - 1)).", _of(data.average_size)),
        _word("ov.names", "Names of the observed variables.", lambda r: list(r.specification.variables), "ov"),
        _word("ov.x", "Names of the fixed covariates.", _fixed_covariates, "ov.names.x"),
        _word("lv.names", "Names of the latent variables.", _latent, "lv"),
    ),
    "Moments of the data": (
        _word("h1", "Moments of the unrestricted model.", lambda r: r.h1()),
        _word("sampstat", "The same.", lambda r: r.h1(), "obs", "observed", "samp", "sample", "samplestatistics", "sampstat.h1"),
        _word("sampstat.std", "The same with correlations.", model.h1_part("cor"), "obs.std", "observed.std", "samp.std", "sample.std", "samplestatistics.std"),
        _word("var", "Variances of the unrestricted model.", model.h1_part("var"), "sampstat.var"),
        _word("icov", "Inverse of its covariance matrix.", model.h1_part("icov"), "sampstat.icov", only="one level"),
        _word("cov.log.det", "Log-determinant of its covariance matrix.", model.h1_part("logdet"), "sampstat.cov.log.det", only="one level"),
        _word("icc", "Intraclass correlations.", lambda r: r.icc()),
        _word("wls.obs", "Statistics of limited information, one vector.", info.least_squares("obs"), only="estimators of limited information"),
        _word("wls.v", "Their weight matrix.", info.least_squares("v"), only="estimators of limited information"),
        _word("wls.vd", "Its diagonal.", info.least_squares("vd"), only="estimators of limited information"),
        _word("gamma", "N times their sampling covariance.", info.least_squares("gamma"), "sampstat.nacov", only="estimators of limited information"),
        _word("group.w", "Logarithm of the rows of each group.", lambda r: model.each_group(r, data.group_counts(r.estimation, "nobs"), lambda n: float(np.log(n))), "group.weights"),
    ),
    "The model": (
        _word("meanstructure", "Whether means are part of the model.", lambda r: bool(r.specification.means)),
        _word("categorical", "Whether variables are ordered.", lambda r: bool(r.specification.ordered)),
        _word("fixed.x", "Whether moments of covariates are held at those of the data.", lambda r: any(row.exo for row in r.specification.parameters)),
        _word("parameterization", "Of ordered variables.", lambda r: "delta" if any(row.is_scale for row in r.specification.parameters) else "theta"),
        _word("options", "How it was estimated.", lambda r: asdict(r.estimation.options)),
        _word("call", "The model text.", lambda r: {"model": r.text}),
        _word("version", "Version of mlsem_jax.", lambda r: __version__),
        _word("list", "The parameter table.", lambda r: r.table()),
    ),
    "Implied moments": (
        _word("implied", "Implied moments of each level.", lambda r: r.implied(), "fitted", "expected", "exp"),
        _word("resid", "Unrestricted moments less implied ones.", _RESID, "residuals", "residual", "res"),
        _word("cov.ov", "Implied covariances of observed variables.", lambda r: model.implied_part(r.estimation, "cov"), "sigma", "sigma.hat"),
        _word("cor.ov", "Implied correlations of observed variables.", lambda r: model.implied_part(r.estimation, "cor")),
        _word("mean.ov", "Implied means of observed variables.", lambda r: model.implied_part(r.estimation, "mean"), "mu", "mu.hat"),
        _word("vy", "Implied variances of observed variables.", lambda r: model.implied_part(r.estimation, "var")),
        _word("cov.lv", "Implied covariances of latent variables.", lambda r: model.latent_moments(r.estimation, "cov"), "veta"),
        _word("cor.lv", "Implied correlations of latent variables.", lambda r: model.latent_moments(r.estimation, "cor")),
        _word("mean.lv", "Implied means of latent variables.", lambda r: model.latent_moments(r.estimation, "mean"), "eeta"),
        _word("cov.all", "Implied covariances of observed and latent variables.", model.all_moments("cov")),
        _word("cor.all", "Implied correlations of observed and latent variables.", model.all_moments("cor")),
        _word("rsquare", "Shares of explained variance.", lambda r: r.rsquare(), "r2", "r.square"),
        _word("ranef", "Scores of clusters on the latent variables of level 2.", _ranef),
    ),
    "The search": (
        _word("converged", "Whether the estimates are a verified maximum.", lambda r: r.converged, "convergence"),
        _word("status", "How the search ended.", lambda r: r.status),
        _word("iterations", "Iterations.", lambda r: r.iterations),
        _word("optim", "How it ended, in numbers.", _optim),
        _word("npar", "Parameters after equality constraints.", lambda r: r.estimation.npar),
        _word("trace", "Every iteration.", lambda r: r.trace()),
        _word("warnings", "The warnings that were issued.", lambda r: r.warnings),
        _word("post.check", "Whether the estimates are proper.", lambda r: r.status in (Status.CONVERGED, Status.BOUNDARY)),
    ),
    "Likelihood and information": (
        _word("logl", "Log-likelihood.", _loglik, "loglik"),
        _word("h1.logl", "Log-likelihood of the unrestricted model.", info.h1_loglik, "h1.loglik"),
        _word("loglik.casewise", "By cluster; with one level and no clusters by row.", _casewise),
        _word("gradient", "Of the discrepancy, minus the log-likelihood by row.", lambda r: info.gradient(r, True), "optim.gradient"),
        _word("gradient.logl", "Of the log-likelihood.", lambda r: info.gradient(r, False)),
        _word("hessian", "Of the discrepancy.", info.hessian),
        _word("information", "Information by row, of the kind of the fit.", info.information()),
        _word("information.expected", "Expected information by row.", info.information("expected")),
        _word("information.observed", "Observed information by row.", info.information("observed")),
        _word("information.first.order", "Outer products of scores, by row.", info.information("first.order"), "first.order"),
        _word("inverted.information", "Inverse of `information`.", info.information(inverted=True)),
        _word("inverted.information.expected", "Inverse of the expected one.", info.information("expected", True)),
        _word("inverted.information.observed", "Inverse of the observed one.", info.information("observed", True)),
        _word("inverted.information.first.order", "Inverse of that of first order.", info.information("first.order", True)),
        _word("h1.information", "Information by row of the unrestricted model.", info.information(unrestricted=True)),
        _word("h1.information.expected", "The expected one.", info.information("expected", unrestricted=True)),
        _word("h1.information.observed", "The observed one.", info.information("observed", unrestricted=True)),
        _word("h1.information.first.order", "That of first order.", info.information("first.order", unrestricted=True), "h1.first.order"),
    ),
    "Sampling covariances": (
        _word("coef", "Estimates of the free parameters.", lambda r: r.coef()),
        _word("vcov", "Of the free parameters.", lambda r: r.vcov()),
        _word("vcov.std.all", "Of standardized free parameters.", info.covariance_of("std.all", "free")),
        _word("vcov.std.lv", "Standardized by latent variables.", info.covariance_of("std.lv", "free")),
        _word("vcov.std.nox", "Exogenous observed variables left.", info.covariance_of("std.nox", "free")),
        _word("vcov.def", "Of := quantities.", info.covariance_of("", "defined")),
        _word("vcov.def.std.all", "Of standardized := quantities.", info.covariance_of("std.all", "defined")),
        _word("vcov.def.std.lv", "Standardized by latent variables.", info.covariance_of("std.lv", "defined")),
        _word("vcov.def.std.nox", "Exogenous observed variables left.", info.covariance_of("std.nox", "defined")),
        _word("vcov.def.joint", "Of free parameters and := quantities.", info.covariance_of("", "joint")),
        _word("vcov.def.joint.std.all", "Of both standardized.", info.covariance_of("std.all", "joint")),
        _word("vcov.def.joint.std.lv", "Standardized by latent variables.", info.covariance_of("std.lv", "joint")),
        _word("vcov.def.joint.std.nox", "Exogenous observed variables left.", info.covariance_of("std.nox", "joint")),
    ),
    "Constraints, tests and fit": (
        _word("constraints", "Every constraint with the values of its sides.", info.constraints, "con"),
        _word("constraints.nullspace", "How parameters follow from those left after linear equalities.", info.nullspace, "constraints.k", "eq.constraints.k", "con.k"),
        _word("test", "Chi-square tests by name.", info.chi_squares),
        _word("baseline.test", "Those of the baseline model.", lambda r: info.chi_squares(r, True)),
        _word("fit", "Fit measures.", lambda r: r.measures(), "fitmeasures", "fit.measures", "fit.indices"),
        _word("mi", "Modification indices.", lambda r: modification_table(inference.modification_indices(r.estimation)), "modindices", "modification.indices"),
    ),
}  # fmt: skip

_LIMITED = "The likelihood of all rows takes its place."
# words that are not answered, and what to do
REFUSED: dict[str, str] = {
    "start": "Starting values are not kept: fit.trace has the log-likelihood there. Give your own with start=.",
    "starting.values": "Starting values are not kept: fit.trace has the log-likelihood there. Give your own with start=.",
    "dx.all": "fit.modification_indices() is about the elements that are fixed.",
    "delta": "jax.jacobian(fit.model)(theta) has the derivatives of the implied moments.",
    "delta.rownames": "jax.jacobian(fit.model)(theta) has the derivatives of the implied moments.",
    "empty.idx": "Rows without values are counted, not listed: see the end of fit.summary().",
    "th.idx": "inspect('tau') has the thresholds by name.",
    "patterns.stats": "ml.statistics(model, data) holds what the likelihood needs of each pattern.",
    "pattern.stats": "ml.statistics(model, data) holds what the likelihood needs of each pattern.",
    "missing.stats": "ml.statistics(model, data) holds what the likelihood needs of each pattern.",
    "sampstat.2l": "ml.statistics(model, data) holds the sums that the likelihood needs.",
    "sampstat.twolevel": "ml.statistics(model, data) holds the sums that the likelihood needs.",
    "sampstat.cluster": "ml.statistics(model, data) holds the sums that the likelihood needs.",
    **dict.fromkeys(
        ("res.var", "res.icov", "res.cov.log.det", "res.cov", "res.th.nox", "th.nox"),
        "Moments given covariates are not kept apart: inspect('h1') has the joint ones.",
    ),
    "wls.est": "inspect('implied') has the implied statistics.",
    **dict.fromkeys(
        ("fs.determinacy", "fs.reliability", "fs.determinacy.bartlett", "fs.reliability.bartlett"),
        "fit.predict(se=True) has the standard error of every score; the determinacy is the root of 1 - se² / variance.",
    ),
    **dict.fromkeys(
        ("mdist2.fs", "mdist.fs", "mdist2.resid", "mdist.resid"),
        "fit.influence() has the influence of every cluster, or row, on the estimates.",
    ),
    **dict.fromkeys(
        (
            "augmented.information",
            "augmented.information.expected",
            "augmented.information.observed",
            "augmented.information.first.order",
        ),
        "Information here is that of the parameters left after linear equalities, which needs no border: inspect('information').",
    ),
    **dict.fromkeys(
        ("constraints.jacobian", "con.jac"), "inspect('constraints') has the sides, inspect('constraints.nullspace') the null space."
    ),
    "coef.boot": "fit.bootstrap(1000, key=1).draws has the estimates of every draw.",
    **dict.fromkeys(("monte.carlo", "mc", "mc.coef", "coef.mc"), "fit.profile_ci() or fit.bootstrap() has intervals of := quantities."),
    **dict.fromkeys(
        ("ugamma", "ufromugamma", "u"),
        "The scaling factor is fit.fit_measures()['chisq.scaling.factor']; its matrices are not kept.",
    ),
    "timing": "Times are not kept.",
    "baseline.partable": "The baseline model has variances, and means, of all variables at every level, and nothing else.",
    "zero.cell.tables": "pandas.crosstab(data.u1, data.u2) has the table of two variables.",
    **dict.fromkeys(
        ("iv", "ivs", "miiv", "miivs", "instr", "instruments", "eqs", "sargan", "hansen"),
        f"There is no estimation by instrumental variables. {_LIMITED}",
    ),
    **dict.fromkeys(("sam.struc.fit.object", "sam.struc"), "fit.measurement has the fits of step 1 of sam(); fit_measures() is of step 2."),
}  # fmt: skip

WORDS: dict[str, Word] = {word.name: word for words in SECTIONS.values() for word in words}
BY_NAME: dict[str, Word] = {name: word for word in WORDS.values() for name in (word.name, *word.aliases)}
