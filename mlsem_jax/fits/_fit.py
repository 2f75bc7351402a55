"""Fit: the immutable record of a fitted model. Its methods delegate; the numbers happen in inference/ and report/."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mlsem_jax import estimation as layer
from mlsem_jax import inference, report
from mlsem_jax._arguments import (
    CONFIDENCE,
    FLAG,
    PATH,
    TEXT,
    check,
    checked,
    choice,
    either,
    names,
    optional,
    whole,
    words,
)
from mlsem_jax._errors import ModelError, ModelWarning
from mlsem_jax._origin import Origin, refuse_update
from mlsem_jax._other_names import called, of_fit
from mlsem_jax.estimation import Estimated, Estimation, kind_of
from mlsem_jax.fits._pooled import PooledFit, pooled_lrt
from mlsem_jax.fits._resampling import ResamplingMethods
from mlsem_jax.fits._results import ResultMethods
from mlsem_jax.fits._tables import TableMethods
from mlsem_jax.syntax import read_constraints

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes


_BOOTSTRAP = ("perc", "basic", "norm", "bca", "bca.simple")
_STANDARDIZED = ("std.lv", "std.all", "std.nox")
_CONVENTIONS: tuple[inference.Convention, ...] = ("lavaan", "psychonetrics")
_METHOD = choice("satorra.bentler.2001", "satorra.bentler.2010")
# what `NetworkFit` has beside; a test holds the two together
NETWORK_ONLY = (
    *("CIplot", "MIs", "fixpar", "freepar", "getmatrix", "groupequal", "groupfree"),
    *("log", "modelsearch", "parameters", "plot_network", "prune", "stepup", "transmod"),
)


class NotOfThisModel(ModelError, AttributeError):
    """A method of other models was asked for: an error in words, and for `hasattr` an attribute that is not there."""


@dataclass(frozen=True, eq=False)
class Fit(Estimated, ResultMethods, TableMethods, ResamplingMethods):
    """A fitted model of two levels, or of one.

    Nothing in it changes after it is made; derived results are computed once, when asked for.

    Fits of network models are of the class [`mlsem_jax.NetworkFit`][], which has more.
    """

    estimation: Estimation
    text: str = ""
    function: str = "sem"
    warnings: tuple[str, ...] = ()
    # the call that it was made by, for update(); no part of a saved fit
    origin: Origin | None = field(default=None, repr=False)
    # what was fitted, in fits of network models
    network: ClassVar[Any] = None
    # whether the estimates maximise one likelihood, as those of two steps do not
    of_one_likelihood: ClassVar[bool] = True

    if not TYPE_CHECKING:  # so that type checkers tell misspelt names

        def __getattr__(self, name: str) -> Any:
            """What fits of network models have and this one does not, and names of other packages, in words."""
            if name in NETWORK_ONLY:
                raise NotOfThisModel(
                    f"{name}{'()' * (name != 'log')} is for network models (ml_lvm, ml_lnm, ml_rnm, ml_lrnm, ml_varcov, ml_ggm, "
                    f"ml_corr); this fit was made by {self.function}()."
                )
            if not name.startswith("_") and (code := of_fit(name, dir(type(self)), report.INSPECT_NAMES)):
                raise AttributeError(f"A fit has no attribute {name!r}: write fit.{called(type(self), code)}.")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)

    # -- what happened
    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return self.estimation.data.nrows

    @property
    def nclusters(self) -> int:
        """Number of clusters; 0 in a model of one level without a cluster variable."""
        return report.number_of_clusters(self.estimation.data)

    @property
    def npar(self) -> int:
        """Number of parameters after equality constraints."""
        return self.estimation.npar

    @property
    def loglik(self) -> float:
        """Log-likelihood at the estimates, of the outcomes given the fixed covariates."""
        inference.refuse_limited(self.estimation, "There is no log-likelihood, no AIC and no BIC")
        return self.estimation.loglik

    # -- estimates
    @checked(
        standardized=either(FLAG, words(*_STANDARDIZED)),
        level=CONFIDENCE,
        ci=choice("wald", "profile"),
        rsquare=FLAG,
        boot_ci_type=choice(*_BOOTSTRAP, elsewhere={"bca_simple": "Write 'bca.simple'."}),
    )
    def parameter_estimates(
        self,
        standardized: bool | str | Sequence[str] = False,
        level: float = 0.95,
        ci: Literal["wald", "profile"] = "wald",
        rsquare: bool = False,
        boot_ci_type: inference.Interval | None = None,
    ) -> pd.DataFrame:
        """lavaan's parameter table, fixed rows and exogenous moments included; confidence limits at `level`.

        standardized: True adds the columns "std.lv" and "std.all"; or name those wanted, "std.nox" (all but exogenous observed
        variables) among them. ci: "wald" (estimate +- z se) or "profile", the likelihood-ratio limits of `profile_ci()`.
        rsquare: True adds a row for the explained variance of every endogenous variable, op "r2". boot_ci_type: with
        se="bootstrap" the limits "perc", "basic", "bca", "bca.simple" (without acceleration) or "norm" (about the estimate less
        the bias) of its draws; without it they are estimate +- z se.
        """
        kinds = _STANDARDIZED[:2] if standardized is True else standardized or ()
        table = self._results.table(kinds, level)
        if ci == "profile":
            table = report.with_profile_limits(table, self._profiled(None, level, None))
        if boot_ci_type is not None:
            table = report.with_limits(table, *self._bootstrap_limits(boot_ci_type, level))
        return report.with_rsquare(table, self._results) if rsquare else table

    def _bootstrap_limits(self, kind: inference.Interval, level: float) -> tuple[Any, Any]:
        """Limits of all quantities from the draws that the standard errors come from."""
        options = self.estimation.options
        if options.se != "bootstrap":
            raise ModelError(
                "boot_ci_type= is of fits with se='bootstrap'; fit.bootstrap(1000, key=1, ci='perc') has intervals of any fit."
            )
        drawn = self.estimation.derived.get("bootstrap")
        if drawn is None:
            drawn = self.estimation.derived["bootstrap"] = self.bootstrap(options.bootstrap, key=options.iseed)
        found = drawn.table(kind, level)
        return found["ci.lower"].to_numpy(), found["ci.upper"].to_numpy()

    def coef(self) -> pd.Series:
        """The free parameters under lavaan's names; those that share a label appear once."""
        return self._results.coef()

    def vcov(self) -> pd.DataFrame:
        """Sampling covariance of `coef()` under the fit's `se` option."""
        return self._results.vcov()

    @checked(type=choice(*_STANDARDIZED), level=CONFIDENCE)
    def standardized_solution(self, type: inference.Standardization = "std.all", level: float = 0.95) -> pd.DataFrame:
        """Standardized estimates with delta-method standard errors: "std.all", "std.lv", or "std.nox" (exogenous left as is)."""
        return self._results.standardized(type, level)

    # -- fit
    def fit_measures(
        self, measures: str | Sequence[str] | None = None, convention: inference.Convention = "lavaan"
    ) -> pd.Series:
        """Chi-square, fit indices and information criteria. convention="psychonetrics" counts clusters as sample size.

        measures: those wanted, by name: "cfi" or ["cfi", "rmsea"] (default: all). A convention may stand in its place.
        """
        if isinstance(measures, str) and measures in _CONVENTIONS:  # the argument that came first in version 0.1.0
            measures, convention = None, next(known for known in _CONVENTIONS if known == measures)
        convention = check("convention", convention, choice(*_CONVENTIONS))
        found = self._results.measures(convention)
        if measures is None or (isinstance(measures, str) and measures == "all"):
            return found
        return report.chosen_measures(found, check("measures", measures, names("a fit measure")))

    def fit_measures_by_level(self) -> pd.DataFrame:
        """Fit of the `within` and the `between` model, each with the other level saturated (Ryu & West 2009).

        Without values, and with a warning that says why, where equalities tie the levels to each other.
        """
        table, reason = self._results.measures_by_level()
        if reason:
            warnings.warn(reason, ModelWarning, stacklevel=2)
        return table

    def lrt(self, *others: Fit, method: inference.Method = "satorra.bentler.2001") -> pd.DataFrame:
        """Likelihood-ratio test against other fits of the same data; see `mlsem_jax.lrt`."""
        return lrt(self, *others, method=method)

    @checked(constraints=names("text, such as 'a == b; c == 0',"))
    def wald(self, constraints: str | Sequence[str]) -> pd.DataFrame:
        """Wald test that equalities of labels, such as "a == b; c == 0", hold jointly; robust where the standard errors are."""
        build = self.estimation.model.build
        read = read_constraints("\n".join(constraints), build.labels, build.specification.definitions)
        return report.wald_table(inference.wald(self.estimation, read))

    def update(self, model: Any = None, **changes: Any) -> Any:
        """The same call with changes, fitted again: another `model`, `data`, `cluster` or `group`, or other options of the function
        (None: the default); add="y1 ~~ y2" has more lines in a text without blocks. The fit holds the table that it was given, not
        a copy.

        Raises ModelError for network models, which have edits of their own, and where the fit does not hold its data (saved fits).
        """
        if self.origin is None:
            raise refuse_update(self.function, self.network is not None)
        return self.origin.updated({"model": model, **changes})

    # -- reports
    @checked(what=TEXT)
    def inspect(self, what: str = "est") -> Any:
        """What lavInspect's words stand for: "icc", "h1", "implied", "est", "vcov", "std", "nobs", "cluster.size" and more."""
        return report.inspect(self._results, what)

    @checked(fit_measures=FLAG, standardized=FLAG, ci=FLAG, rsquare=FLAG, modindices=FLAG, digits=whole(0, 15))
    def summary(
        self,
        fit_measures: bool = False,
        standardized: bool = False,
        ci: bool = False,
        rsquare: bool = False,
        modindices: bool = False,
        digits: int = 3,
    ) -> report.Summary:
        """The fit in lavaan's layout: print it, or show it in a notebook; the arguments add its optional parts. digits: decimals
        of estimates, tests and fit measures.

        With sampling weights the model is fitted without them too, once, to say how far they move the estimates.
        """
        indices = self.modification_indices(sort=True) if modindices else None
        return report.summarise(self._results, fit_measures, standardized, ci, rsquare, indices, digits)

    def plot(self, kind: str = "path", ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the fit: "path", "estimates", "residuals", "icc", "cluster_sizes", "scores", "trace", "profile", "reliability",
        "weights" (how far sampling weights move the estimates); of ordered variables "categories" (category response curves of an
        item) and "thresholds" (by group). Needs matplotlib.

        Options go to the function of that kind: level, group, standardized for "path"; ops for "estimates"; factor for
        "scores"; parameter for "profile"; most, a number of parameters, for "weights"; item, factor, group for "categories".
        """
        return report.plot(self._results, kind, ax, **options)

    @checked(title=TEXT)
    def report(self, path: str | Path, title: str | None = None) -> Path:
        """Write one self-contained HTML file: model, pictures, tables, fit by level, warnings, how it was estimated."""
        return report.write_page(self._results, path, title)

    @checked(starts=FLAG)
    def to_lavaan(self, starts: bool = False) -> str:
        """The model as lavaan syntax with every parameter written out, for `lavaan()`; starts: with the estimates as start().

        Names that lavaan cannot read become those that R's `read.csv` gives such columns; comments at the top say which.
        """
        values = dict(enumerate(self.parameter_estimates()["est"].tolist())) if starts else None
        return report.to_lavaan(self.specification, values)

    @checked(data_file=PATH, columns=optional(names("a column")))
    def to_mplus(self, data_file: str = "data.dat", columns: Sequence[str] | None = None) -> str:
        """The model as an Mplus input file; columns: those of the data file, in order (default: the model's, then cluster)."""
        data, options = self.estimation.data, self.estimation.options
        group = data.group_name if self.specification.groups else None
        return report.to_mplus(
            self.specification, data.cluster_name or None, group, options.estimator, str(data_file), columns
        )

    def save(self, path: str | Path) -> Path:
        """Write the fit as JSON (compressed where the name ends in .gz): everything but the rows. `ml.load` reads it.

        With ordered variables and estimator="ML" the file holds the answers of every cluster, and what they are given, because
        the likelihood is of these; ids of rows are not in it.
        """
        fields = {"text": self.text, "function": self.function, "warnings": self.warnings, "network": self.network}
        return report.save(self.estimation, fields, path)

    @cached_property
    def trace(self) -> pd.DataFrame:
        """One row per iteration: log-likelihood (that of `loglik`, before the step), expected gain (Newton decrement), largest
        gradient element, and the kind of step: "scoring", "newton" (observed information), "secant", "sqp" (under constraints),
        "trust region", "em" or the solver's name. Every solver ends with Newton steps, which verify the maximum.
        """
        return self._results.trace()

    def __repr__(self) -> str:
        return report.short_text(self._results, self.function)

    def _repr_html_(self) -> str:
        return report.short_html(self._results, self.function)


def lrt(
    *fits: Fit | PooledFit, method: inference.Method = "satorra.bentler.2001", **named: Fit | PooledFit
) -> pd.DataFrame:
    """Likelihood-ratio tests of nested fits of the same data, the model with most parameters first.

    Fits given by keyword go by that name in the table, the others by their place (`fit 1`). Fits under a robust test are compared
    by the scaled difference (Satorra & Bentler 2001); method="satorra.bentler.2010" where its scaling factor is negative. Fits by
    weighted least squares: the difference of the uncorrected chi-squares, corrected as the models' tests are (Satorra 2000). Pooled
    fits are compared by D2, D3 and D4 (see [`mlsem_jax.PooledFit`][]).
    Raises ModelError where the fits are not of the same data.
    """
    by_name = {f"fit {i}": fit for i, fit in enumerate(fits, 1)} | named
    if pooled := {name: fit for name, fit in by_name.items() if isinstance(fit, PooledFit)}:
        if len(pooled) < len(by_name):
            raise ModelError("lrt() compares pooled fits with pooled fits, each of the same imputations.")
        return pooled_lrt(pooled)
    for name, fit in by_name.items():
        check_fit(fit, f"lrt() takes fits, lrt(one, other) or lrt(full=one, small=other); {name!r}")
        if not by_name[name].of_one_likelihood:  # type: ignore[union-attr]
            raise ModelError(
                f"{name!r} is a fit of sam(), whose estimates maximise no likelihood: compare fits of sem()."
            )
    method = check("method", method, _METHOD)
    comparisons = inference.likelihood_ratio(
        {name: fit.estimation for name, fit in by_name.items() if isinstance(fit, Fit)}, method
    )
    return report.comparison_table(comparisons)


def check_fit(fit: Any, what: str) -> None:
    """ModelError for what is no Fit; what: the beginning of the sentence, up to the name of the argument."""
    if isinstance(fit, Fit):
        return
    hint = ""
    if hasattr(fit, "runmodel"):
        hint = " It is a model that has not been fitted: call its fit()."
    elif isinstance(fit, (list, tuple, dict)):
        hint = " Pass them one by one: lrt(*fits), or by name, lrt(**fits) and compare(**fits)."
    elif isinstance(fit, layer.Model):
        hint = " It is a model of the JAX layer: fit the text with ml.sem."
    elif isinstance(fit, PooledFit):
        hint = " Pooled fits are compared by ml.lrt(one, other)."
    raise ModelError(f"{what} is {kind_of(fit)}.{hint}")
