"""PooledFit: fits of one model to several imputations, and what they say together. The numbers happen in inference/ and report/."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsem_jax import inference, report
from mlsem_jax._arguments import CONFIDENCE, FLAG, check, checked, choice, either, whole, words
from mlsem_jax._arguments import names as one_or_several
from mlsem_jax._errors import ModelError, nearest
from mlsem_jax._other_names import called, of_fit
from mlsem_jax.estimation import Estimation, stack
from mlsem_jax.models import Specification
from mlsem_jax.syntax import read_constraints

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from mlsem_jax.fits._fit import Fit

_KINDS = ("std.lv", "std.all", "std.nox")
_PLOTS = ("imputations",)


class OfOneDataSet(ModelError, AttributeError):
    """What fits of single imputations have was asked of a pooled one: in words, and for `hasattr` it is not there."""


@dataclass(frozen=True, eq=False)
class PooledFit:
    """Fits of one model to several imputations or plausible values, from `mlsem_jax.pool` or `mlsem_jax.sem(model, [data, ...])`.

    fits: those of the imputations; names: what they are called in messages. complete_df: None for Rubin's degrees of freedom.
    left_out: names of fits that did not converge. warnings: sentences that were issued. What is not pooled (scores, residuals,
    modification indices, ...) is asked of single fits, `pooled.fits[0].residuals()`.
    """

    fits: tuple[Fit, ...]
    names: tuple[str, ...]
    complete_df: float | None = None
    left_out: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    if not TYPE_CHECKING:  # so that type checkers tell misspelt names

        def __getattr__(self, name: str) -> Any:
            """What single fits have, and names of other packages, in words."""
            if name.startswith("_") or "fits" not in self.__dict__:
                raise AttributeError(f"'PooledFit' object has no attribute {name!r}", name=name, obj=self)
            single = type(self.fits[0])
            code = (
                name
                if hasattr(single, name)
                else of_fit(name, dir(PooledFit)) or of_fit(name, dir(single), report.INSPECT_NAMES)
            )
            if code and code != name and hasattr(PooledFit, re.split(r"\W", code)[0]):
                raise AttributeError(f"A pooled fit has no attribute {name!r}: write pooled.{called(PooledFit, code)}.")
            if code:
                raise OfOneDataSet(
                    f"{name} is of one data set and is not pooled: ask it of the single fits, as in pooled.fits[0].{code}."
                )
            raise AttributeError(f"'PooledFit' object has no attribute {name!r}", name=name, obj=self)

    # -- what was fitted
    @property
    def specification(self) -> Specification:
        return self.fits[0].specification

    @property
    def converged(self) -> bool:
        """Whether every fit is a verified maximum."""
        return all(fit.converged for fit in self.fits)

    @property
    def nimputations(self) -> int:
        """Number m of fits."""
        return len(self.fits)

    @property
    def nobs(self) -> float:
        """Rows used, on average over the imputations."""
        return float(np.mean([fit.nobs for fit in self.fits]))

    @property
    def nclusters(self) -> float:
        """Clusters, on average over the imputations; 0 without a cluster variable."""
        return float(np.mean([fit.nclusters for fit in self.fits]))

    @property
    def npar(self) -> int:
        """Number of parameters after equality constraints."""
        return self.fits[0].npar

    # -- estimates
    @checked(standardized=either(FLAG, words(*_KINDS)), level=CONFIDENCE)
    def parameter_estimates(
        self, standardized: bool | str | Sequence[str] = False, level: float = 0.95, ci: str = "wald"
    ) -> pd.DataFrame:
        """lavaan's parameter table by Rubin's rules (1987): `est`, the mean; `se`, the root of T = U + (1 + 1/m) B, with U the
        mean of the squared standard errors and B the variance of the estimates; `t` = est / se with `df` degrees of freedom,
        its `pvalue` and limits at `level`; `riv` = (1 + 1/m) B / U, `df` = (m - 1)(1 + 1/riv)^2, or Barnard and Rubin's (1999)
        with `complete_df`; `fmi` = (riv + 2 / (df + 3)) / (1 + riv), that of mitools and mice.

        `:=` quantities, and with `standardized` the columns "std.lv", "std.all", "std.nox", are pooled from every fit's own values.
        """
        if ci != "wald":
            check("ci", ci, choice("wald"))
        table = report.pooled_table(self._first, self._estimates, level)
        wanted = _KINDS[:2] if standardized is True else standardized or ()
        for kind in wanted:
            table[kind] = inference.pooled_standardized(self._estimations, kind).estimate  # type: ignore[arg-type]
        return table

    @checked(type=choice(*_KINDS), level=CONFIDENCE)
    def standardized_solution(self, type: inference.Standardization = "std.all", level: float = 0.95) -> pd.DataFrame:
        """Standardized estimates of every fit with their standard errors, pooled by the same rules."""
        found = inference.pooled_standardized(self._estimations, type, self.complete_df)
        return report.pooled_table(self._first, found, level, "est.std")

    def coef(self) -> pd.Series:
        """The free parameters under lavaan's names, averaged; those that share a label appear once."""
        import pandas as pd

        return pd.Series(self._total[0], list(self._first.model.build.names), name="est")

    def vcov(self) -> pd.DataFrame:
        """Covariance T = U + (1 + 1/m) B of `coef()`."""
        import pandas as pd

        labels = list(self._first.model.build.names)
        return pd.DataFrame(self._total[1], labels, labels)

    @checked(level=CONFIDENCE)
    def rsquare(self, level: float = 0.95) -> pd.DataFrame:
        """Shares of explained variance, one row each ("y1~r2", with the group and the level at the end), pooled as they are."""
        return report.pooled_series(*inference.pooled_rsquare(self._estimations, self.complete_df), level)

    # -- fit
    def fit_measures(self, measures: str | Sequence[str] | None = None, test: inference.TestName = "D4") -> pd.Series:
        """Tests of the model against the unrestricted one (k = df) as F statistics, and fit indices of one of them.

        `D2.F`, `D2.df1`, `D2.df2`, `D2.pvalue`, `D2.riv`: of the chi-squares alone (Li, Meng, Raghunathan & Rubin 1991). `D3.`: of
        likelihood ratios at averaged estimates (Meng & Rubin 1992); under nonlinear constraints averages need not meet them. `D4.`:
        of the likelihood of all data sets together (Chan & Meng 2022), whose clusters are no clusters of one another.
        `chisq.mean` is the mean of the chi-squares and no test: it is too large.

        test: what `chisq` = df1 F, `pvalue` and the indices rest on. CFI, TLI and their kin take df1 F of the model and of the
        baseline, RMSEA also N, the mean number of rows, as Enders & Mansolf (2018) do with D3; SRMR is between the maxima that
        model and unrestricted model have on all data sets together. Robust fits have `.scaled` variants: D2 of the scaled
        chi-squares, D3 and D4 divided by the mean scaling factor, which is a heuristic. Log-likelihoods and information
        criteria are not pooled.
        """
        import pandas as pd

        test = check("test", test, choice(*inference.POOLED_TESTS))
        found = report.as_column(
            pd.Series(inference.pooled_measures(self._estimations, lambda: self._stack, test), dtype=float)
        )
        if measures is None or (isinstance(measures, str) and measures == "all"):
            return found
        return report.chosen_measures(found, check("measures", measures, one_or_several("a fit measure")))

    def lrt(self, *others: PooledFit) -> pd.DataFrame:
        """Likelihood-ratio tests against other pooled fits of the same imputations, by D2, D3 and D4; as `mlsem_jax.lrt`."""
        fits = {f"fit {i}": fit for i, fit in enumerate((self, *others), 1)}
        for name, fit in fits.items():
            if not isinstance(fit, PooledFit):
                raise ModelError(f"lrt() of a pooled fit takes pooled fits; {name!r} is a {type(fit).__name__}.")
        return pooled_lrt(fits)

    @checked(constraints=one_or_several("text, such as 'a == b; c == 0',"))
    def wald(self, constraints: str | Sequence[str]) -> pd.DataFrame:
        """D1: Wald test that equalities of labels hold jointly (Li, Raghunathan & Rubin 1991), with its degrees of freedom."""
        build = self._first.model.build
        read = read_constraints("\n".join(constraints), build.labels, build.specification.definitions)
        return report.pooled_wald_table(inference.pooled_wald(self._estimations, read))

    # -- reports
    @checked(fit_measures=FLAG, standardized=FLAG, ci=FLAG, rsquare=FLAG, digits=whole(0, 15))
    def summary(
        self,
        fit_measures: bool = False,
        standardized: bool = False,
        ci: bool = False,
        rsquare: bool = False,
        digits: int = 3,
    ) -> report.Summary:
        """The pooled fit in lavaan's layout: print it, or show it in a notebook; the arguments add its optional parts."""
        return report.summarise_pooled(
            self._estimations,
            self._average,
            self.parameter_estimates(standardized),
            self.fit_measures(),
            fit_measures=fit_measures,
            standardized=standardized,
            ci=ci,
            rsquare=self.rsquare() if rsquare else None,
            df="Rubin (1987)" if self.complete_df is None else "Barnard & Rubin (1999)",
            notes=self.warnings,
            digits=digits,
        )

    def plot(self, kind: str = "imputations", ax: Axes | None = None, **options: Any) -> Axes:
        """Draw "imputations": every imputation's estimates beside the pooled ones, and how much of their intervals comes of the
        variance between imputations. Options: ops, level, group, confidence.
        """
        if kind not in _PLOTS:
            raise ModelError(
                f"A pooled fit has no picture {kind!r}; it has {_PLOTS[0]!r}. Others are of single fits, as in "
                "pooled.fits[0].plot('path')."
            )
        known = ("ops", "level", "group", "confidence")
        for name in options:
            if name not in known:
                raise ModelError(
                    f"The picture has no option {name!r}.{nearest(name, known)} It takes {', '.join(known)}."
                )
        confidence = check("confidence", options.get("confidence", 0.95), CONFIDENCE)
        table = report.pooled_table(self._first, self._estimates, confidence)
        return report.imputations_plot(self._average, table, self._estimates, ax=ax, **options)

    def save(self, path: Any) -> None:
        """Pooled fits are not files: says how their fits are saved and pooled again."""
        raise ModelError(
            "A pooled fit is saved by its fits: for i, fit in enumerate(pooled.fits): fit.save(f'fit{i}.json.gz'). "
            "ml.pool([ml.load(name) for name in names]) is the pooled fit again."
        )

    def __repr__(self) -> str:
        of = f" in {self.nclusters:g} clusters" if self._first.data.clustered else ""
        return f"<mlsem_jax.PooledFit: {self.nimputations} imputations, {self.npar} parameters, {self.nobs:g} rows{of}>"

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    # -- what costs time, computed once
    @property
    def _first(self) -> Estimation:
        return self.fits[0].estimation

    @cached_property
    def _estimations(self) -> tuple[Estimation, ...]:
        return tuple(fit.estimation for fit in self.fits)

    @cached_property
    def _estimates(self) -> inference.Pooled:
        return inference.pooled_estimates(self._estimations, self.complete_df)

    @cached_property
    def _total(self) -> tuple[np.ndarray, np.ndarray]:
        return inference.pooled_vcov(self._estimations)

    @cached_property
    def _stack(self) -> Estimation:
        return stack(self._estimations)

    @cached_property
    def _average(self) -> report.Results:
        """The model at the averaged estimates, for what shows it."""
        theta = np.mean([e.model.theta for e in self._estimations], axis=0)
        model = self._first.model
        at = replace(model, maximum=replace(model.maximum, theta=theta))
        return report.Results(replace(self._first, model=at), self.fits[0].text)


def pooled_lrt(fits: dict[str, PooledFit]) -> pd.DataFrame:
    """Tests of nested pooled fits, the model with most parameters first; the same imputations in the same order in all.

    One row a model: its degrees of freedom, and F, df2, p and riv of D2, D3 and D4 against the one before it.
    """
    if len(fits) < 2:
        raise ModelError("A likelihood-ratio test compares two pooled fits or more.")
    for name, fit in fits.items():
        if fit.left_out:
            raise ModelError(
                f"{name!r} leaves {', '.join(fit.left_out)} out: fits that are compared hold all imputations."
            )
    return report.pooled_comparison_table(
        inference.pooled_likelihood_ratio({name: (fit._estimations, fit._stack) for name, fit in fits.items()})
    )
