"""Results: what summaries, pictures and answers are made of. Everything in it follows from the estimation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, get_args

from mlsem_jax import inference
from mlsem_jax.estimation import Estimated, Estimation
from mlsem_jax.report._limited import limited_frames
from mlsem_jax.report._moments import icc_series, moments_frames
from mlsem_jax.report._scores import rsquare_series
from mlsem_jax.report._shown import as_column, as_table
from mlsem_jax.report._tables import parameter_table, standardized_table

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Results(Estimated):
    """An estimation and the tables of it, the costly ones computed once, when asked for.

    text: the model as the user wrote it. warnings: those that the user was shown.
    """

    estimation: Estimation
    text: str = ""
    warnings: tuple[str, ...] = ()
    # how the standard errors came about, where no option says so
    errors: str = ""
    # and what the scaled chi-square is scaled for
    correction: str = ""

    @property
    def test(self) -> str:
        """The name of the scaled test, "standard" where there is none."""
        return self.correction or self.estimation.options.test

    @property
    def notes(self) -> tuple[str, ...]:
        """All that was said about the estimation, each sentence once."""
        return tuple(dict.fromkeys((*self.warnings, *self.estimation.notes)))

    # -- estimates
    @cached_property
    def estimates(self) -> inference.Estimates:
        return inference.estimates(self.estimation)

    def table(self, kinds: Sequence[str] = (), level: float = 0.95) -> pd.DataFrame:
        """lavaan's parameter table, with a column for every kind of standardized estimates in `kinds`, in that order."""
        table = as_table(parameter_table(self.estimation, self.estimates, level))
        for kind in get_args(inference.Standardization):
            if kind in kinds:
                table[kind] = inference.standardized(self.estimation, kind).values
        # in the order asked for
        return table[[name for name in table if name not in kinds] + list(kinds)] if kinds else table

    def standardized(self, kind: inference.Standardization = "std.all", level: float = 0.95) -> pd.DataFrame:
        """Standardized estimates with delta-method standard errors."""
        table = parameter_table(self.estimation, self.estimates)
        return as_table(standardized_table(table, inference.standardized(self.estimation, kind), level))

    def coef(self) -> pd.Series:
        """The free parameters; those that share a label appear once."""
        import pandas as pd

        return pd.Series(self.estimates.natural, list(self.estimation.model.build.names), name="est")

    def vcov(self) -> pd.DataFrame:
        """Sampling covariance of `coef()`."""
        import pandas as pd

        names = list(self.estimation.model.build.names)
        return pd.DataFrame(self.estimates.vcov, names, names)

    # -- fit
    @cached_property
    def _measures(self) -> dict[str, float]:
        # scaled tests need information matrices of three models
        return inference.fit_measures(self.estimation)

    def measures(self, convention: inference.Convention = "lavaan") -> pd.Series:
        """Chi-square, fit indices and information criteria by name."""
        import pandas as pd

        found = self._measures if convention == "lavaan" else inference.fit_measures(self.estimation, convention)
        return as_column(pd.Series(list(found.values()), _names(tuple(found)).copy(), dtype=float))

    def measures_by_level(self) -> tuple[pd.DataFrame, str]:
        """Fit measures of the `within` and the `between` model, and the reason why they have no values, if so."""
        import pandas as pd

        reason = inference.tied_levels(self.specification)
        if reason:
            empty = pd.DataFrame(index=list(inference.LEVELS), columns=list(self.measures().index), dtype=float)
            return as_table(empty), reason
        found = inference.fit_measures_by_level(self.estimation)
        return as_table(pd.DataFrame.from_dict(found, orient="index", dtype=float)), ""

    def trace(self) -> pd.DataFrame:
        """One row per iteration."""
        import pandas as pd

        table = pd.DataFrame(self.estimation.trace)
        return table if self.estimation.limited is None else table.rename(columns={"loglik": "fx"})

    # -- moments
    def implied(self) -> dict[str, Any]:
        if self.estimation.limited is not None:
            return limited_frames(self.estimation, inference.limited_implied(self.estimation))
        return moments_frames(self.estimation, inference.implied(self.estimation))

    def h1(self) -> dict[str, Any]:
        if self.estimation.limited is not None:
            return limited_frames(self.estimation, inference.limited_h1(self.estimation))
        return moments_frames(self.estimation, inference.h1(self.estimation))

    def icc(self) -> Any:
        if self.estimation.limited is not None and not self.specification.single:
            return icc_series(self.estimation, inference.limited_icc(self.estimation))
        return icc_series(self.estimation, inference.icc(self.estimation))

    def residuals(self, type: inference.ResidualType = "raw") -> dict[str, Any]:
        if self.estimation.limited is not None:
            return limited_frames(self.estimation, inference.limited_residuals(self.estimation, type))
        return moments_frames(self.estimation, inference.residuals(self.estimation, type))

    def rsquare(self) -> Any:
        return rsquare_series(self.estimation, inference.rsquare(self.estimation))


@lru_cache(maxsize=16)
def _names(names: tuple[str, ...]) -> pd.Index:
    """Fits have the same measures again and again, and an index of their names takes as long to make as they do."""
    import pandas as pd

    return pd.Index(names)
