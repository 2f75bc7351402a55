"""The methods that a Fit of a network model has beside those of every fit. They delegate to `mlsem_jax.networks`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mlsem_jax._arguments import FLAG, SIGNIFICANCE, TEXT, checked, choice, either, names, number, optional, whole
from mlsem_jax._errors import ModelError
from mlsem_jax.report._plot_base import AXES

if TYPE_CHECKING:
    import pandas as pd

    from mlsem_jax._fit import Fit
    from mlsem_jax.networks import Log, Model

Index = int | str | None
_ADJUST = choice("none", "bonferroni", "holm", "hochberg", "hommel", "BH", "fdr", "BY")
_CRITERION = choice("bic", "aic", "bic2", "ebic.25", "ebic.5", "ebic.75", "ebic1", "none")
_MATRICES = names("a matrix")
_LIMIT = optional(whole(1))


class NetworkMethods:
    """Methods of fits of `ml_lvm`, `ml_lnm`, `ml_rnm`, `ml_lrnm`, `ml_varcov`, `ml_ggm` and `ml_corr`; for other fits they raise
    ModelError. Rows and columns are names of variables or positions from 1.
    """

    network: Model | None

    def _of_network(self, name: str) -> Callable[..., Any]:
        if self.network is None:
            raise ModelError(
                f"{name}() is for network models (ml_lvm, ml_lnm, ml_rnm, ml_lrnm, ml_varcov, ml_ggm, ml_corr); this fit was "
                f"made by {getattr(self, 'function', 'sem')}()."
            )
        return self.network.operation(name)

    # -- estimates
    def parameters(self) -> pd.DataFrame:
        """One row for every element of psychonetrics' matrices, lower triangles, row and col from 1: est, se, p, par, fixed."""
        return self._of_network("parameters")(self)

    @checked(matrix=TEXT, threshold=either(FLAG, number(0)), alpha=SIGNIFICANCE, adjust=_ADJUST)
    def getmatrix(
        self,
        matrix: str,
        group: Any = None,
        threshold: bool | float = False,
        alpha: float = 0.01,
        adjust: str = "none",
    ) -> pd.DataFrame | dict[str, pd.DataFrame]:
        """A matrix of the model or derived from it ("omega_zeta_between", "sigma_within"), by group where there are several.

        threshold=True puts 0 for elements with an adjusted p-value above alpha, a number for those smaller than it.
        """
        return self._of_network("getmatrix")(self, matrix, group, threshold, alpha, adjust)

    @checked(matrices=_MATRICES, top=_LIMIT)
    def MIs(self, matrices: Sequence[str] | str | None = None, top: int | None = 10) -> pd.DataFrame:
        """Modification indices of fixed elements, largest first: mi, pmi, and the expected change epc."""
        return self._of_network("MIs")(self, matrices, top)

    @property
    def log(self) -> Log:
        """What was done to the model since it was made; print it."""
        return self._of_network("log")(self)

    # -- searches
    @checked(alpha=SIGNIFICANCE, adjust=_ADJUST, recursive=FLAG, matrices=_MATRICES, limit=_LIMIT)
    def prune(
        self,
        alpha: float = 0.01,
        adjust: str = "none",
        recursive: bool = False,
        matrices: Sequence[str] | str | None = None,
        limit: int | None = None,
    ) -> Fit:
        """Fix the edges that are not significant at zero, all at once, and fit again; recursive=True until none is left.

        adjust: "none" "bonferroni" "holm" "hochberg" "hommel" "BH" "fdr" "BY", over the tested parameters. matrices: default
        the networks of the model (omega, kappa). limit: at most so many edges in one step, the least significant first.
        Warns, also in its log, where the likelihood-ratio test against this fit has p < .001: edges that are not significant
        one by one may be so together.
        """
        return self._of_network("prune")(self, alpha, adjust, recursive, matrices, limit)

    @checked(alpha=SIGNIFICANCE, criterion=_CRITERION, matrices=_MATRICES, limit=_LIMIT)
    def stepup(
        self,
        alpha: float = 0.01,
        criterion: str = "bic",
        matrices: Sequence[str] | str | None = None,
        limit: int | None = None,
    ) -> Fit:
        """Free the fixed edge with the largest modification index, as long as that is significant, the likelihood-ratio test
        too, and the criterion falls ("none" for no criterion).
        """
        return self._of_network("stepup")(self, alpha, criterion, matrices, limit)

    @checked(criterion=_CRITERION, matrices=_MATRICES, prunealpha=SIGNIFICANCE, addalpha=SIGNIFICANCE, limit=_LIMIT)
    def modelsearch(
        self,
        criterion: str = "bic",
        matrices: Sequence[str] | str | None = None,
        prunealpha: float = 0.01,
        addalpha: float = 0.01,
        limit: int | None = None,
    ) -> Fit:
        """Walk to the best neighbour by the criterion until there is none: all removals of edges with p > prunealpha and
        additions of edges whose index has p < addalpha are fitted at once.
        """
        return self._of_network("modelsearch")(self, criterion, matrices, prunealpha, addalpha, limit)

    # -- edits, each fitted again
    @checked(matrix=TEXT, value=number())
    def fixpar(self, matrix: str, row: Index = None, col: Index = None, value: float = 0.0, group: Any = None) -> Fit:
        """Fix an element at a value and fit again."""
        return self._of_network("fixpar")(self, matrix, row, col, value, group)

    @checked(matrix=TEXT, start=optional(number()))
    def freepar(
        self, matrix: str, row: Index = None, col: Index = None, start: float | None = None, group: Any = None
    ) -> Fit:
        """Free an element and fit again."""
        return self._of_network("freepar")(self, matrix, row, col, start, group)

    @checked(matrix=TEXT)
    def groupequal(self, matrix: str, row: Index = None, col: Index = None) -> Fit:
        """Make an element, or a whole matrix, equal across groups and fit again."""
        return self._of_network("groupequal")(self, matrix, row, col)

    @checked(matrix=TEXT)
    def groupfree(self, matrix: str, row: Index = None, col: Index = None) -> Fit:
        """Let the groups differ in an element, or in a whole matrix, and fit again."""
        return self._of_network("groupfree")(self, matrix, row, col)

    def transmod(self, **kinds: str) -> Fit:
        """Other parametrisations, such as within_latent="ggm", and fit again."""
        return self._of_network("transmod")(self, **kinds)

    # -- pictures
    @checked(matrices=_MATRICES, alpha=SIGNIFICANCE, ax=AXES)
    def CIplot(self, matrices: Sequence[str] | str | None = None, alpha: float = 0.05, ax: Any = None) -> Any:
        """Estimates with confidence intervals, one row each; returns the matplotlib Axes."""
        return self._of_network("CIplot")(self, matrices, alpha, ax)

    @checked(matrix=_MATRICES)
    def plot_network(
        self, matrix: str | Sequence[str] | None = None, group: Any = None, ax: Any = None, **options: Any
    ) -> Any:
        """Networks as graphs, by default those of both levels side by side with nodes in the same places; returns the Axes.

        options: layout ("spring" or "circle"), threshold, alpha, maximum (the weight of the widest edge), labels.
        """
        return self._of_network("plot_network")(self, matrix, group, ax, **options)
