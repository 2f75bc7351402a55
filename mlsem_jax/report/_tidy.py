"""Fits in the tidy form of the R package broom: a row a term, and a row a fit; and what maketables asks of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlsem_jax.report._inspect_data import number_of_clusters
from mlsem_jax.report._results import Results
from mlsem_jax.report._shown import as_table

if TYPE_CHECKING:
    import pandas as pd

_MEASURES = {
    "npar": "npar",
    "chisq": "chisq",
    "df": "df",
    "p.value": "pvalue",
    "cfi": "cfi",
    "tli": "tli",
    "rmsea": "rmsea",
    "rmsea.conf.low": "rmsea.ci.lower",
    "rmsea.conf.high": "rmsea.ci.upper",
    "srmr": "srmr",
    "logLik": "logl",
    "AIC": "aic",
    "BIC": "bic",
}
# statistics that maketables knows by other names
_STATISTICS = {"N": "nobs", "aic": "AIC", "bic": "BIC", "loglik": "logLik"}


def tidy(results: Results, level: float = 0.95) -> pd.DataFrame:
    """One row a row of the parameter table, under broom's names."""
    table = results.table(("std.lv", "std.all"), level)
    term = [
        row.lhs if row.op == ":=" else f"{row.lhs} {row.op} {row.rhs}".strip() for row in table.itertuples(index=False)
    ]
    names = {
        "op": "op",
        "level": "level",
        "group": "group",
        "label": "label",
        "est": "estimate",
        "se": "std.error",
        "z": "statistic",
        "pvalue": "p.value",
        "ci.lower": "conf.low",
        "ci.upper": "conf.high",
        "std.lv": "std.lv",
        "std.all": "std.all",
    }
    out = table[list(names)].rename(columns=names)
    out.insert(0, "term", term)
    return as_table(out)


def glance(results: Results) -> pd.DataFrame:
    """One row: what was fitted to how much, and how well it fits."""
    import pandas as pd

    data, options = results.estimation.data, results.estimation.options
    measures = results.measures() if results.converged else {}
    row: dict[str, Any] = {name: measures.get(own, float("nan")) for name, own in _MEASURES.items()}
    row |= {
        "nobs": data.nrows,
        "nclusters": number_of_clusters(data),
        "ngroups": data.ngroups,
        "estimator": options.estimator,
        "missing_method": options.missing,
        "converged": results.converged,
    }
    return as_table(pd.DataFrame([row]))


def coefficient_table(results: Results) -> pd.DataFrame:
    """Free parameters as maketables wants them: b, se, t, p and limits, by name."""
    import pandas as pd

    table = tidy(results)
    table = table[table["std.error"] > 0]
    levels = results.specification.levels
    names = [
        row.term
        + (f" ({('within', 'between')[row.level - 1]})" if len(levels) > 1 and row.level else "")
        + (f" ({results.specification.groups[row.group - 1]})" if results.specification.groups and row.group else "")
        for row in table.itertuples(index=False)
    ]
    columns = {
        "b": "estimate",
        "se": "std.error",
        "t": "statistic",
        "p": "p.value",
        "ci95l": "conf.low",
        "ci95u": "conf.high",
    }
    values = {name: table[own].to_numpy() for name, own in columns.items()}
    return pd.DataFrame(values, index=pd.Index(names, name="Coefficient"))


def statistic(results: Results, key: str) -> Any:
    """A statistic of the fit by broom's name, or maketables'; None where there is none."""
    found = glance(results).iloc[0]
    name = _STATISTICS.get(key, key)
    return found[name] if name in found.index else None
