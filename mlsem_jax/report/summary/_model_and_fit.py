"""The upper half of a summary: what was fitted, to how much data, and how well the model fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlsem_jax.likelihood import PatternTerm
from mlsem_jax.report._inspect_data import number_of_clusters
from mlsem_jax.report._results import Results
from mlsem_jax.report.summary._blocks import Block, Facts, Heading, Prose, number
from mlsem_jax.report.summary._design import design_rows, factor_of_scores
from mlsem_jax.report.summary._limited import incomplete_answers, limited_facts

if TYPE_CHECKING:
    import pandas as pd

_TESTS = {
    "yuan.bentler": "Yuan-Bentler correction",
    "yuan.bentler.mplus": "Yuan-Bentler correction (Mplus variant)",
    "satorra.bentler": "Satorra-Bentler correction",
    "two.step": "Correction for the first step",
    "scaled.shifted": "Simple second-order correction (scaled, shifted)",
}
_SRMR = "Standardized Root Mean Square Residual"
_ERRORS = {
    "standard": "Standard",
    "robust.huber.white": "Sandwich",
    "robust.cluster": "Robust.cluster",
    "replicates": "Replicate weights",
    "bootstrap": "Bootstrap",
    "robust.sem": "Robust.sem",
    "none": "None",
}


def header(results: Results, version: str) -> list[Block]:
    """Version and status, estimator, counts of parameters, rows and clusters."""
    estimation, status = results.estimation, results.status
    verb = "converged" if results.converged else "did NOT converge: stopped"
    blocks: list[Block] = [
        Heading(
            f"mlsem_jax {version} {verb} after {results.iterations} iteration{'s' * (results.iterations != 1)}",
            1,
        )
    ]
    if status.advice:
        blocks.append(Prose("", (status.sentence, status.advice)))
    method = estimation.options.optim_method
    free = int(np.sum(estimation.model.build.index >= 0))
    rows: list[tuple[str, ...]] = [
        ("Estimator", estimation.options.estimator),
        ("Optimization method", (method if isinstance(method, str) else type(method).__name__).upper()),
        ("Number of model parameters", str(free)),
    ]
    if estimation.limited is not None:
        rows += limited_facts(results)
    if free > results.estimation.npar:
        rows.append(("Number of equality constraints", str(free - results.estimation.npar)))
    if inequalities := sum(c.op != "==" for c in results.specification.constraints):
        rows.append(("Number of inequality constraints", str(inequalities)))
    return [*blocks, Facts("", tuple(rows)), _counts(results)]


def _counts(results: Results) -> Facts:
    """Rows and clusters, by group where there are groups; used and total where rows were dropped."""
    data = results.estimation.data
    dropped = sum(count for _, count in data.rows_dropped)
    columns: tuple[str, ...] = ("Used", "Total") if dropped else ()

    def line(label: str, used: int | str, total: int | None = None) -> tuple[str, ...]:
        return (label, str(used), str(total) if total is not None else "") if dropped else (label, str(used))

    rows = [line("Number of observations", data.nrows, data.nrows + dropped)]
    if data.clustered:
        clusters = number_of_clusters(data)
        rows.append(line(f"Number of clusters [{data.cluster_name}]", clusters, clusters + data.clusters_dropped))
    by_row, by_cluster = (np.bincount(x, minlength=data.ngroups) for x in (data.group[data.cluster], data.group))
    if data.group_labels:
        rows.insert(1, ("Number of observations per group:",))
        rows[2:2] = [line(f"  {name}", int(by_row[g])) for g, name in enumerate(data.group_labels)]
    if data.group_labels and data.clustered:
        rows.append(("Number of clusters per group:",))
        rows += [line(f"  {name}", int(by_cluster[g])) for g, name in enumerate(data.group_labels)]
    rows += [line(label, value) for label, value in design_rows(results)]
    if results.estimation.options.missing != "listwise":
        rows.append(line("Number of missing patterns", incomplete_rows(results)[1]))
    return Facts("", tuple(rows), columns)


def incomplete_rows(results: Results) -> tuple[float, int]:
    """How many of the rows used lack a value of level 1, and how many patterns of missing values there are, none included.

    From the statistics, which a fit read from a file has too, so that weighted rows count as often as their weights say; a pattern
    that occurs in two groups counts once.
    """
    if results.estimation.limited is not None:
        return incomplete_answers(results)
    patterns, data = results.estimation.statistics.first(PatternTerm), results.estimation.data
    if patterns is None:
        return 0, 1
    count, absent = np.asarray(patterns.rows), results.specification.absent[np.asarray(patterns.group, int)]
    seen = ((np.asarray(patterns.observed) > 0) | absent)[:, ~np.asarray(data.between_only, bool)]
    partial = (count > 0) & (np.asarray(patterns.observed) > 0).any(axis=1) & ~seen.all(axis=1)
    whole = np.any((count > 0) & seen.all(axis=1)) or len(results.estimation.reduction.complete_codes) > 0
    distinct = len({tuple(pattern) for pattern in seen[partial].tolist()})
    return float(count[partial].sum()), distinct + bool(whole)


class _Measures:
    """Fit measures by name; the scaled column where the test is robust."""

    def __init__(self, measures: pd.Series, digits: int = 3):
        self.measures, self.digits = measures, digits
        self.robust = "chisq.scaled" in measures.index
        self.columns = ("Standard", "Scaled") if self.robust else ()

    def line(self, label: str, name: str, scaled: str | None = None, standard: bool = True) -> list[tuple[str, ...]]:
        """The line of one measure, or none where the measure is not there; scaled: its name in the second column."""
        key = name if standard else scaled or f"{name}.robust"
        if key not in self.measures.index:
            return []
        second = scaled or f"{name}.scaled"
        first = self.text(name) if standard else ""
        return (
            [(label, first, self.text(second))] if self.robust else [(label, first if standard else self.text(second))]
        )

    def text(self, name: str) -> str:
        if name not in self.measures.index:
            return ""
        value = float(self.measures[name])
        if name.split(".scaled")[0].endswith("df") and value == int(value):
            return str(int(value))
        return number(value, self.digits)


def model_test(measures: pd.Series, test: str, digits: int = 3) -> list[Block]:
    """The test of the model against the unrestricted one."""
    m = _Measures(measures, digits)
    rows = (
        m.line("Test statistic", "chisq")
        + m.line("Degrees of freedom", "df")
        + m.line("P-value (Chi-square)", "pvalue")
    )
    if m.robust:
        rows += [
            ("Scaling correction factor", "", m.text("chisq.scaling.factor")),
            (f"  {_TESTS.get(test, test)}", "", ""),
        ]
        if "chisq.shift.parameter" in measures.index:
            rows.insert(-1, ("Shift parameter", "", m.text("chisq.shift.parameter")))
    return [Facts("Model Test User Model", tuple(rows), m.columns)] if rows else []


def fit_blocks(measures: pd.Series, digits: int = 3) -> list[Block]:
    """Baseline, comparative indices, log-likelihoods and criteria, RMSEA, SRMR; blocks without content are left out."""
    m = _Measures(measures, digits)
    baseline = (
        m.line("Test statistic", "baseline.chisq")
        + m.line("Degrees of freedom", "baseline.df")
        + m.line("P-value", "baseline.pvalue")
    )
    if m.robust and baseline:
        baseline.append(("Scaling correction factor", "", m.text("baseline.chisq.scaling.factor")))
    comparative = m.line("Comparative Fit Index (CFI)", "cfi") + m.line("Tucker-Lewis Index (TLI)", "tli")
    robust = m.line("Robust Comparative Fit Index (CFI)", "cfi", "cfi.robust", False)
    robust += m.line("Robust Tucker-Lewis Index (TLI)", "tli", "tli.robust", False)
    comparative += [("",), *robust] if robust else []
    made = [
        Facts("Model Test Baseline Model", tuple(baseline), m.columns),
        Facts("User Model versus Baseline Model", tuple(comparative), m.columns),
        Facts("Loglikelihood and Information Criteria", tuple(_loglikelihood(m)), m.columns),
        Facts("Root Mean Square Error of Approximation", tuple(_rmsea(m)), m.columns),
        Facts(_SRMR + " (corr metric)" * ("srmr_within" in measures.index), tuple(_srmr(m)), m.columns),
    ]
    return [block for block in made if block.rows]


def _loglikelihood(m: _Measures) -> list[tuple[str, ...]]:
    def same(label: str, name: str) -> list[tuple[str, ...]]:
        return m.line(label, name, name)

    def factor(name: str) -> list[tuple[str, ...]]:
        column = ("",) if m.robust else ()
        lines: list[tuple[str, ...]] = [
            ("Scaling correction factor", *column, m.text(name)),
            ("    for the MLR correction", *column, ""),
        ]
        return lines if name in m.measures.index else []

    rows = same("Loglikelihood user model (H0)", "logl") + factor("scaling.factor.h0")
    rows += same("Loglikelihood unrestricted model (H1)", "unrestricted.logl") + factor("scaling.factor.h1")
    criteria = same("Akaike (AIC)", "aic") + same("Bayesian (BIC)", "bic")
    criteria += same("Sample-size adjusted Bayesian (SABIC)", "bic2")
    return rows + ([("",), *criteria] if criteria else [])


def _rmsea(m: _Measures) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for robust in (False, True):
        suffix = ".robust" if robust else ".scaled"
        lead = "Robust " if robust else ""
        lines: list[tuple[str, ...]] = []
        for label, name in (
            (f"{lead}RMSEA", "rmsea"),
            ("90 Percent confidence interval - lower", "rmsea.ci.lower"),
            ("90 Percent confidence interval - upper", "rmsea.ci.upper"),
            (f"P-value H_0: {lead}RMSEA <= 0.050", "rmsea.pvalue"),
            (f"P-value H_0: {lead}RMSEA >= 0.080", "rmsea.notclose.pvalue"),
        ):
            lines += m.line(label, name, name + suffix, not robust)
        rows += [("",), *lines] if robust and lines else lines
    return rows


def _srmr(m: _Measures) -> list[tuple[str, ...]]:
    if "srmr_within" not in m.measures.index:
        return m.line("SRMR", "srmr", "srmr")
    return m.line("SRMR (within covariance matrix)", "srmr_within", "srmr_within") + m.line(
        "SRMR (between covariance matrix)", "srmr_between", "srmr_between"
    )


def standard_errors_used(results: Results) -> Facts:
    """How the standard errors were computed."""
    options = results.estimation.options
    kind = {"first.order": "First-order"}.get(options.information, options.information.capitalize())
    rows: list[tuple[str, ...]] = [("Standard errors", results.errors or _ERRORS.get(options.se, options.se))]
    if options.se == "bootstrap":
        of = "clusters" if results.estimation.data.clustered else "rows"
        rows.append((f"Bootstrap draws of {of}", str(options.bootstrap)))
        return Facts("Parameter Estimates", tuple(rows))
    if options.se != "none":
        rows.append(("Information bread" if options.se.startswith("robust") else "Information", kind))
    rows += factor_of_scores(results.estimation.data, options.se)
    if options.information == "observed" and options.se != "none":
        rows.append(("Observed information based on", "Hessian"))
    return Facts("Parameter Estimates", tuple(rows))
