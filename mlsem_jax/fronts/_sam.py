"""`ml.sam`: structural after measurement, in two steps."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Unpack

from mlsem_jax import inference, report
from mlsem_jax._arguments import check, choice
from mlsem_jax._errors import ModelError, ModelWarning
from mlsem_jax._option_docs import with_options
from mlsem_jax.data import several
from mlsem_jax.estimation import Estimation, fit_warnings
from mlsem_jax.fits import Fit
from mlsem_jax.fronts._fit_text import read_text
from mlsem_jax.measurement import TwoSteps, parts_of, two_step_tests, two_steps
from mlsem_jax.options import CommonOptions

if TYPE_CHECKING:
    import pandas as pd

_METHOD = choice("local", "global")
# methods of a Fit that need a maximum of one likelihood
_OF_A_MAXIMUM = (
    "profile_ci",
    "bootstrap",
    "influence",
    "modification_indices",
    "modindices",
    "score_test",
    "scores",
    "lrt",
)


@dataclass(frozen=True, eq=False, repr=False)
class _Results(report.Results):
    """Results whose fit measures are those of the structural model, where that is fitted by itself, with tests that are scaled for
    what the first step leaves uncertain.
    """

    steps: TwoSteps | None = None

    @cached_property
    def tests(self) -> tuple[inference.RobustTests, ...]:
        """Of each structural model, or of the whole one, computed once and kept with the estimation."""
        assert self.steps is not None
        derived = self.estimation.derived
        if "two_step_tests" not in derived:
            derived["two_step_tests"] = two_step_tests(self.steps)
        return derived["two_step_tests"]

    @cached_property
    def _measures(self) -> dict[str, float]:
        assert self.steps is not None
        if not self.steps.structural:
            # without an unrestricted model there is no test, and what the log-likelihood gives remains
            tested = self.estimation.h1 is not None
            return inference.lavaan_measures(self.estimation, self.tests[0] if tested else None)
        return inference.measures_together(self.steps.structural, self.tests)


@dataclass(frozen=True, eq=False, repr=False)
class SamFit(Fit):
    """A fit in two steps: what a [`mlsem_jax.Fit`][] has, but for what needs a maximum of the likelihood of the whole model.

    method: "local" or "global". Fit measures are those of the structural models (local), whose sample sizes are rows at level 1
    and clusters at level 2, or of the whole model at the estimates of both steps (global). `measurement` has the fit of each
    measurement model of step 1.
    """

    of_one_likelihood: ClassVar[bool] = False
    steps: TwoSteps | None = None
    method: str = "local"

    @cached_property
    def _results(self) -> _Results:
        assert self.steps is not None
        errors = "Two-step, robust" if self.estimation.options.se.startswith("robust") else "Two-step"
        correction = "satorra.bentler" if self.steps.structural else "two.step"
        return _Results(self.estimation, self.text, self.warnings, errors, correction, self.steps)

    @property
    def measurement(self) -> tuple[Fit, ...]:
        """The fits of step 1, a Fit for each measurement model."""
        assert self.steps is not None
        return tuple(Fit(one, function="sam") for one in self.steps.measurement)

    def save(self, path: str | Path) -> Path:
        """As of any [`mlsem_jax.Fit`][], with the fits of both steps. `ml.load` reads it."""
        assert self.steps is not None
        if self.estimation.status.converged and self.estimation.h1 is not None:
            self._results.tests  # noqa: B018  (stored with the estimation)
        fields = {"text": self.text, "function": self.function, "warnings": self.warnings, "network": None}
        parts = {"measurement": self.steps.measurement, "structural": self.steps.structural}
        return report.save(self.estimation, fields, path, parts)

    def fit_measures_by_level(self) -> pd.DataFrame:
        """Local: of the structural model of each level. Global: as of any [`mlsem_jax.Fit`][]."""
        assert self.steps is not None
        if not self.steps.structural:
            return super().fit_measures_by_level()
        import pandas as pd

        words = ("within", "between")
        parts = zip(words, self.steps.structural, self._results.tests, strict=False)
        found = {word: inference.measures_together([one], [test]) for word, one, test in parts}
        return pd.DataFrame.from_dict(found, orient="index", dtype=float)


def _refused(name: str) -> Any:
    def method(self: SamFit, *args: Any, **options: Any) -> NoReturn:
        raise ModelError(
            f"{name}() is about a maximum of the likelihood; the estimates of sam() come from two steps, each with its own. Fit "
            "the model with sem() for it."
        )

    method.__name__ = name
    method.__doc__ = "Not available: see `SamFit`."
    return method


for _name in _OF_A_MAXIMUM:
    setattr(SamFit, _name, _refused(_name))


def restored(estimation: Estimation, parts: Mapping[str, tuple[Estimation, ...]], **fields: Any) -> SamFit:
    """The fit that `SamFit.save` wrote, of the estimations in its file."""
    measurement, structural = parts["measurement"], parts["structural"]
    specification = estimation.model.build.specification
    steps = TwoSteps(estimation, parts_of(specification), measurement, structural or (estimation,), structural)
    return SamFit(estimation, **fields, steps=steps, method="local" if structural else "global")


@with_options(CommonOptions, "sem")
def sam(
    model: str | Sequence[str],
    data: Any,
    cluster: str | None = None,
    *,
    sam_method: str = "local",
    group: str | None = None,
    **options: Unpack[CommonOptions],
) -> SamFit:
    """Structural after measurement (Rosseel & Loh 2022): a structural equation model of one level or two, fitted in two steps.

    Misspecified structural parts do not spoil the measurement of factors, and few clusters are enough for each small model.

    Step 1 fits the measurement model of each factor (of those that share items, at either level) with all its items' moments at
    both levels. Step 2, "local": the structural model of each level is fitted to the covariances of its latent variables,
    V = M (S - Theta) M' with S the unrestricted covariances of the level. "global": the whole model is fitted with the
    parameters of step 1 held.

    **Arguments:**

    - `model`, `data`, `cluster`, `group`, `options`: as for [`mlsem_jax.sem`][]. Each factor needs a fixed loading.
    - `sam_method`: "local" or "global".

    Standard errors account for step 1: with I the information of the whole model and V_11 the covariance of step 1, structural
    parameters have I_22^-1 + I_22^-1 I_21 V_11 I_12 I_22^-1; robust ones (estimator="MLR") add up what each cluster contributes
    to both steps.

    Chi-squares take step 1 into account under the names of scaled tests (`chisq.scaled`, `cfi.robust`, ...). The plain ones are
    too large: local, the structural model is tested as if its moments were those of observed variables. The factor is, local,
    trace(U Gamma) / df with Gamma the two-step covariance of these moments (Satorra & Bentler 1994); global, with I and V the
    information and the covariance of all q parameters, 1 + (trace(I V) - q) / df.

    **Returns:** a [`mlsem_jax.SamFit`][].

    **Raises:** as [`mlsem_jax.sem`][]; ModelError for models that do not fall into two parts: items in regressions, labels that tie
    measurement and structure, random slopes.
    """
    if options.get("ordered"):
        raise ModelError(
            "ml.sam() does not take ordered variables yet: leave ordered= out, or write the model for ml.cfa with ordered=."
        )
    sam_method = check("sam_method", sam_method, _METHOD)
    if several(data) or options.get("plausible_values") is not None:
        raise ModelError("sam() takes one data set; pool sem() fits for several imputations.")
    asked = read_text("sam", model, data, cluster, group, dict(**options))
    for sentence in asked.told:
        warnings.warn(sentence, ModelWarning, stacklevel=2)
    found = two_steps(asked.specification, asked.data, asked.options, sam_method == "local")
    raised = [warning for one in (*found.measurement, *found.second) for warning in fit_warnings(one)]
    for warning in raised:
        warnings.warn(warning, stacklevel=2)
    return SamFit(
        found.estimation,
        text=asked.parsed.text,
        function="sam",
        warnings=(*asked.told, *(str(warning) for warning in raised)),
        steps=found,
        method=sam_method,
    )
