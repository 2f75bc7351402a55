"""The methods of a Fit that make tables for papers and for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlsem_jax import report
from mlsem_jax._arguments import CONFIDENCE, FLAG, checked, either, names, optional, whole, words
from mlsem_jax._errors import ModelError

if TYPE_CHECKING:
    import pandas as pd


class TableMethods:
    """Methods of Fit that need its results only."""

    if TYPE_CHECKING:

        @property
        def _results(self) -> report.Results: ...

    @checked(level=CONFIDENCE)
    def tidy(self, level: float = 0.95) -> pd.DataFrame:
        """The estimates under the names of R's broom: `term estimate std.error statistic p.value conf.low conf.high std.all`."""
        return report.tidy(self._results, level)

    def glance(self) -> pd.DataFrame:
        """The fit in one row under the names of R's broom: `chisq df cfi rmsea srmr AIC BIC nobs converged` and more."""
        return report.glance(self._results)

    @checked(
        names=optional(names("a name of a fit")),
        ops=optional(names("an operator")),
        standardized=either(FLAG, words("std.lv", "std.all", "std.nox")),
        ci=FLAG,
        stars=FLAG,
        digits=whole(0, 12),
        level=CONFIDENCE,
    )
    def table(
        self,
        *others: Any,
        names: Sequence[str] | None = None,
        ops: str | Sequence[str] | None = None,
        standardized: bool | str = False,
        ci: bool = False,
        stars: bool = False,
        digits: int = 3,
        level: float = 0.95,
    ) -> report.FitTable:
        """This fit and others side by side: estimates with standard errors, fit measures below.

        **Arguments:**

        - `others`: fits; of other models, other data, one level or two.
        - `names`: of the columns, one for each fit, this one's first.
        - `ops`: which operators of the parameter table (default: all but intercepts, "~1").
        - `standardized`: True ("std.all"), "std.lv" or "std.nox".
        - `ci`: intervals at `level` in place of standard errors. `stars`: mark p below .05, .01 and .001.

        **Returns:** an object that prints as text and shows as HTML, with `to_markdown()`, `to_html()`, `to_latex()`, `to_text()`,
        `to_docx(path)`, `to_excel(path)`, `save(path)` and `frame`, a DataFrame.
        """
        for other in others:
            if not isinstance(other, TableMethods):
                raise ModelError(f"table() takes fits, fit.table(other, ...), not {type(other).__name__}.")
        every = [self, *others]
        given = [f"Model {i}" for i in range(1, len(every) + 1)] if names is None else list(names)
        if len(given) != len(every) or len(set(given)) != len(given):
            raise ModelError(f"names= must have {len(every)} different names, one for each fit, this one's first.")
        kind = "std.all" if standardized is True else standardized[0] if standardized else None
        chosen = None if ops is None else list(ops)
        results = {name: fit._results for name, fit in zip(given, every, strict=True)}
        return report.side_by_side(results, chosen, kind, ci, stars, digits, level)

    # what the package maketables asks of a model
    @property
    def __maketables_coef_table__(self) -> pd.DataFrame:
        return report.coefficient_table(self._results)

    def __maketables_stat__(self, key: str) -> Any:
        return report.statistic(self._results, key)

    @property
    def __maketables_depvar__(self) -> str:
        return "SEM"

    @property
    def __maketables_vcov_info__(self) -> dict[str, Any]:
        return {"vcov_type": self._results.errors or self._results.estimation.options.se}
