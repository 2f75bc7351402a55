"""`ml.invariance`: the same model with more and more held equal over groups, or across the levels, and what each step costs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Unpack

from mlsem_jax import inference, report
from mlsem_jax._arguments import SIGNIFICANCE, Refused, Rule, check, choice, names
from mlsem_jax._errors import DataError, ModelError, ModelWarning, nearest
from mlsem_jax._option_docs import with_options
from mlsem_jax.data import group_labels, several
from mlsem_jax.fits import Fit
from mlsem_jax.fronts._fit_text import fit_text
from mlsem_jax.measurement import (
    ACROSS_LEVELS,
    CONSTRAINED,
    OVER_GROUPS,
    Adapt,
    across_levels,
    group_equal_of,
    with_free_means,
    with_free_variances,
)
from mlsem_jax.options import InvarianceOptions
from mlsem_jax.syntax import Syntax, read_model

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_METHOD = choice("satorra.bentler.2001", "satorra.bentler.2010")
# words of other programs for these steps
_OTHER_WORDS = {
    "weak": "metric",
    "strong": "scalar",
    "loadings": "metric",
    "intercepts": "scalar",
    "residual": "strict",
}


@dataclass(frozen=True, eq=False)
class Invariance:
    """Fits with more and more held equal. It behaves as its `table`, one row a step; `fits` has the fits by step.

    over: "groups" or "levels". partial: what is exempt. alpha: the level at which a step counts as failed.
    """

    fits: dict[str, Fit]
    table: pd.DataFrame
    over: str
    partial: tuple[str, ...] = ()
    alpha: float = 0.05

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.table, name)

    def __getitem__(self, name: Any) -> Any:
        return self.table[name]

    def __len__(self) -> int:
        return len(self.table)

    @property
    def failed(self) -> str | None:
        """The first step whose chi-square difference is significant at `alpha`; None where there is none."""
        worse = self.table.index[self.table["pvalue.diff"] < self.alpha]
        return str(worse[0]) if len(worse) else None

    @cached_property
    def score_tests(self) -> pd.DataFrame:
        """Which of the equalities of the step that failed (`failed`) costs most: the test of releasing each alone, the largest
        first, by the plain likelihood. Name those to release in `partial=`.

        Residual variances that are 0 across levels have modification indices in their place. Empty where no step failed.
        """
        import pandas as pd

        step = self.failed
        if step is None:
            return pd.DataFrame(columns=["lhs", "op", "rhs", "X2", "df", "p.value"])
        fit = self.fits[step]
        if self.over == "levels" and step == "scalar":
            found = fit.modification_indices(op="~~")
            return found[(found["level"] == 2) & (found["lhs"] == found["rhs"])].reset_index(drop=True)
        if (
            step == "strict" and fit.estimation.model.build.specification.ordered
        ):  # held at the unit of latent responses
            found = fit.modification_indices(op="~~")
            return found[(found["group"] > 1) & (found["lhs"] == found["rhs"])].reset_index(drop=True)
        tests = fit.score_test().iloc[1:]
        ops = (CONSTRAINED[step], "|") if step == "scalar" else (CONSTRAINED[step],)
        mine = tests[tests["lhs"].map(lambda name: _operator(name) in ops)]
        return mine.sort_values("X2", ascending=False, kind="stable").reset_index(drop=True)

    @property
    def beyond(self) -> dict[str, list[str]]:
        """By step, the measures that change by more than is customary: CFI falls by more than .010 (Cheung & Rensvold 2002),
        RMSEA rises by more than .015, SRMR by more than .030 (loadings) or .010 (later steps; Chen 2007). These are conventions
        from simulations with one level, not tests.
        """
        return report.beyond_customary(self.table)

    def plot(self, what: str = "loadings", ax: Axes | None = None) -> Axes:
        """Draw the "loadings" or "intercepts" of the first step with intervals, by group or level (needs matplotlib)."""
        return report.invariance_plot(next(iter(self.fits.values()))._results, self.over, what, ax)

    def __repr__(self) -> str:
        return report.invariance_text(self.table, self.over, self.failed, self.beyond, self.partial)

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


@with_options(InvarianceOptions, "sem")
def invariance(
    model: str | Sequence[str],
    data: Any,
    cluster: str | None = None,
    *,
    group: str | None = None,
    steps: str | Sequence[str] | None = None,
    partial: str | Sequence[str] = (),
    method: inference.Method = "satorra.bentler.2001",
    alpha: float = 0.05,
    **options: Unpack[InvarianceOptions],
) -> Invariance:
    """Measurement invariance over groups, or without groups across the two levels: a table of fits and differences.

    **Arguments:**

    - `model`, `data`, `cluster`, `group`, `options`: as for [`mlsem_jax.sem`][]; with two levels each step constrains both.
    - `steps`: over groups "configural" (the same model), "metric" (equal loadings), "scalar" (and intercepts, or thresholds; the
      factors' means of later groups are free, those of level 2 too, and the units of latent responses) and "strict" (and residual
      variances). Across levels (no `group`) "configural",
      "metric" (equal loadings at both levels) and "scalar" (and no residual variances at level 2, which equal intercepts of all
      clusters imply; Jak, Oort & Dolan 2013). Default: all of them.
    - `partial`: parameters that stay free at every step, such as `["fw=~y2", "y3~1"]`; `fw=~y2.l1` for one level only.
    - `method`: of scaled differences (robust fits), Satorra & Bentler 2001 or 2010.
    - `alpha`: the level at which `failed` and `score_tests` call a step failed.

    **Returns:** an `Invariance`: its table has `npar df chisq pvalue cfi rmsea srmr aic bic logl`, with robust fits `chisq.scaled`,
    `chisq.scaling.factor` and robust indices beside, and the differences to the step before, `chisq.diff df.diff pvalue.diff
    cfi.diff rmsea.diff srmr.diff`.

    **Raises:** as [`mlsem_jax.sem`][]; DataError for a group column with one value, ModelError for other steps, and across
    levels for factors that level 2 does not have.
    """
    asked: dict[str, Any] = dict(**options)
    if several(data) or "plausible_values" in asked:
        raise ModelError("invariance() takes one data set: for imputations compare pooled fits with ml.lrt.")
    method, alpha = check("method", method, _METHOD), check("alpha", alpha, SIGNIFICANCE)
    if "group_equal" in asked:
        raise ModelError("invariance() says with steps= what is equal over groups; leave group_equal= out.")
    exempt = "group_partial" if "group_partial" in asked else "partial"
    given = check(exempt, asked.pop("group_partial", partial), names("a parameter, such as 'f=~y2',"))
    partial = tuple("".join(name.split()) for name in given)
    parsed = read_model(model, data, "invariance(model, data, group=...)")
    over = "groups" if group is not None else "levels"
    known = OVER_GROUPS if group is not None else ACROSS_LEVELS
    chosen = check("steps", tuple(known) if steps is None else steps, _steps(tuple(known), over))
    if group is not None:
        _check_groups(data, group)
    elif not parsed.has_levels:
        raise ModelError(
            "invariance() needs groups to compare, group='column', or a model of two levels, whose levels it then compares."
        )
    fits: dict[str, Fit] = {}
    for step in chosen:
        with warnings.catch_warnings():
            if fits:  # the first step has told what there is to tell about the data and the text
                warnings.simplefilter("ignore", ModelWarning)
            fits[step] = _fit_step(step, parsed, data, cluster, group, partial, asked)
    return Invariance(fits, _table(fits, method), over, partial, alpha)


def _steps(known: tuple[str, ...], over: str) -> Rule:
    several_names = names()

    def read(value: Any) -> tuple[str, ...]:
        given = several_names.read(value)
        for word in given:
            if word not in known:
                other = _OTHER_WORDS.get(word.lower(), "")
                hint = f" It is called {other!r} here." if other in known else nearest(word, known)
                raise Refused(f"{word!r} is not one of them.{hint}".strip())
        if not given:
            raise Refused()
        return tuple(word for word in known if word in given)

    return Rule(f"some of {', '.join(map(repr, known))} (over {over})", read)


def _check_groups(data: Any, group: str) -> None:
    """DataError for a column that makes no groups."""
    if len(labels := group_labels(data, group)) < 2:
        held = f"only the value {labels[0]!r}" if labels else "no value"
        raise DataError(
            f"The column {group!r} has {held}: invariance over groups needs two groups at least. Without group= the levels of a "
            "two-level model are compared."
        )


def _fit_step(
    step: str,
    parsed: Syntax,
    data: Any,
    cluster: str | None,
    group: str | None,
    partial: tuple[str, ...],
    options: dict[str, Any],
) -> Fit:
    options = dict(options)
    if not parsed.has_levels:
        options.setdefault("meanstructure", True)
    adapt: Adapt | None
    if group is None:
        adapt = across_levels(step, partial)
    else:
        equal = group_equal_of(step)
        if equal:
            options |= {"group_equal": equal, "group_partial": partial}
        adapt = _freed(equal)
    return fit_text("sem", parsed, data, cluster, group, options, adapt)


def _freed(equal: tuple[str, ...]) -> Adapt | None:
    if "intercepts" in equal:
        return lambda specification: with_free_means(with_free_variances(specification))
    return with_free_variances if "loadings" in equal else None


def _table(fits: dict[str, Fit], method: inference.Method) -> pd.DataFrame:
    """One row a step: measures, and differences to the step before."""
    measures = {step: fit.fit_measures() if fit.converged else None for step, fit in fits.items()}
    differences: dict[str, inference.Comparison] = {}
    for before, step in pairwise(fits):
        if measures[before] is None or measures[step] is None:
            continue
        pair = {name: fits[name].estimation for name in (before, step)}
        differences[step] = inference.likelihood_ratio(pair, method)[-1]
    return report.invariance_table(measures, differences)


def _operator(name: str) -> str:
    """The operator in a parameter's name; labels of the user's have none."""
    return next((op for op in ("=~", "~~", "~1", "|") if op in name), "")
