"""Tables of resampling and influence."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, get_args

import numpy as np

from mlsem_jax._arguments import CONFIDENCE, checked, choice
from mlsem_jax._errors import ModelError
from mlsem_jax._status import Status
from mlsem_jax.inference import Bootstrap, Influence, Interval, intervals
from mlsem_jax.report._shown import Tables, as_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class BootstrapReport:
    """A bootstrap of a fit. `table()` has one row a parameter or `:=` quantity; `draws` one row a draw; the object prints its
    table. ci and level are what `table()` takes when nothing is said.
    """

    bootstrap: Bootstrap
    ci: Interval = "perc"
    level: float = 0.95

    @cached_property
    def draws(self) -> pd.DataFrame:
        """Estimates of every draw; NaN where a draw did not converge."""
        import pandas as pd

        return pd.DataFrame(self.bootstrap.draws, columns=list(self.bootstrap.names))

    @property
    def chisq(self) -> np.ndarray | None:
        """Chi-square of every draw, where asked for."""
        return self.bootstrap.chisq

    @property
    def pvalue(self) -> float:
        """Bollen & Stine's p-value of the test of the model (type="bollen.stine")."""
        return self.bootstrap.pvalue

    @property
    def status(self) -> pd.Series:
        """How many draws ended how."""
        import pandas as pd

        codes, counts = np.unique(self.bootstrap.status, return_counts=True)
        return pd.Series(counts, [Status(int(code)).name for code in codes], name="draws")

    @checked(ci=choice(*get_args(Interval)), level=CONFIDENCE)
    def table(self, ci: Interval | None = None, level: float | None = None) -> pd.DataFrame:
        """Estimate, bootstrap standard error, bias, and limits of the interval "perc", "basic", "bca", "bca.simple", "student"
        or "norm".
        """
        import pandas as pd

        b, usable = self.bootstrap, self.bootstrap.usable
        draws, draws_se = b.draws[usable], b.draws_se[usable]
        level = self.level if level is None else level
        low, high = intervals(ci or self.ci, b.estimate, b.plain_se, draws, draws_se, b.influence, level)
        found = pd.DataFrame(
            {
                "est": b.estimate,
                "se": b.se,
                "boot.se": draws.std(axis=0, ddof=1),
                "bias": draws.mean(axis=0) - b.estimate,
                "ci.lower": low,
                "ci.upper": high,
            },
            index=pd.Index(b.names, name="parameter"),
        )
        return as_table(found)

    def plot(self, name: str, ci: Interval | None = None, level: float | None = None, ax: Axes | None = None) -> Axes:
        """The draws of one quantity as a histogram, with the estimate and its interval (needs matplotlib)."""
        from mlsem_jax.report.plots import bootstrap_plot

        return bootstrap_plot(self, name, ci, level, ax)

    @cached_property
    def _shown(self) -> pd.DataFrame:
        """The table, without rows where there are too few draws to make one of."""
        import pandas as pd

        return self.table() if self.bootstrap.usable.sum() >= 2 else pd.DataFrame()

    def _head(self) -> str:
        b = self.bootstrap
        head = f"{b.type} bootstrap of {b.units}, {len(b.status)} draws, {int(b.usable.sum())} of them used"
        test = f"\nchi-square {b.observed_chisq:.3f}, bootstrap p-value {b.pvalue:.3f}" if b.chisq is not None else ""
        if not len(self._shown):
            return f"{head}: no intervals, which need two draws at least that converged; `.status` says how each ended."
        return f"{head}{test}\n{self.level:.0%} intervals: {self.ci}"

    def __str__(self) -> str:
        return f"{self._head()}\n{self._shown.round(3).to_string()}" if len(self._shown) else self._head()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return Tables({self._head(): self._shown})._repr_html_()


@dataclass(frozen=True, eq=False)
class InfluenceReport:
    """Influence of clusters on the estimates. Frames have one row a cluster and one column a parameter or `:=` quantity."""

    influence: Influence

    def _frame(self, values: np.ndarray | None, what: str) -> pd.DataFrame:
        import pandas as pd

        if values is None:
            raise ModelError(f"fit.influence() did not compute this: pass {what}.")
        index = pd.Index(self.influence.ids, name=self.influence.unit)
        return pd.DataFrame(values, index, list(self.influence.names))

    @cached_property
    def derivative(self) -> pd.DataFrame:
        """Exact derivative of every estimate in the weight of a cluster."""
        return self._frame(self.influence.derivative, "")

    @cached_property
    def one_step(self) -> pd.DataFrame:
        """Change of every estimate without the cluster, after one Newton step."""
        return self._frame(self.influence.one_step, "")

    @cached_property
    def deleted(self) -> pd.DataFrame:
        """Change of every estimate without the cluster, refitted."""
        return self._frame(self.influence.deleted, "exact=True")

    @cached_property
    def rows(self) -> pd.DataFrame:
        """Derivative of every estimate in the weight of a row."""
        import pandas as pd

        if self.influence.rows is None:
            raise ModelError("fit.influence() did not compute this: pass rows=True.")
        return pd.DataFrame(self.influence.rows, self.influence.row_index, list(self.influence.names))

    @cached_property
    def cook(self) -> pd.Series:
        """A Cook-like distance of every cluster: how far the estimates move, in units of their sampling covariance."""
        import pandas as pd

        return pd.Series(self.influence.cook, pd.Index(self.influence.ids, name=self.influence.unit), name="cook")

    @cached_property
    def se(self) -> pd.Series:
        """Infinitesimal-jackknife standard errors, which are the cluster-robust ones of MLR."""
        import pandas as pd

        return pd.Series(self.influence.se, list(self.influence.names), name="se")

    def plot(self, top: int = 5, ax: Axes | None = None) -> Axes:
        """The Cook-like distance of every cluster, the `top` that stand out by name (needs matplotlib)."""
        from mlsem_jax.report.plots import influence_plot

        return influence_plot(self, top, ax)

    def __str__(self) -> str:
        return f"{self._head()}:\n{self._worst().to_string()}"

    __repr__ = __str__

    def _head(self) -> str:
        return f"Influence of {len(self.influence.ids)} {self.influence.unit}s; the largest Cook-like distances"

    def _worst(self) -> pd.Series:
        return self.cook.sort_values(ascending=False).head(5)

    def _repr_html_(self) -> str:
        return Tables({self._head(): self._worst().to_frame()})._repr_html_()
