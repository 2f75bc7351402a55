"""Model and NetworkFit: what a user of psychonetrics' family holds, before and after estimation. Their methods call functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mlsem_jax import inference, report
from mlsem_jax._arguments import (
    FLAG,
    SIGNIFICANCE,
    TEXT,
    check,
    checked,
    choice,
    either,
    names,
    number,
    optional,
    whole,
    words,
)
from mlsem_jax._errors import ModelError
from mlsem_jax._other_names import of_fit, same_member
from mlsem_jax.fits import Fit
from mlsem_jax.networks import _edit as edits
from mlsem_jax.networks._fitting import estimate, finish, refit_model, refitted
from mlsem_jax.networks._indices import MIs, modification_indices
from mlsem_jax.networks._layout import Block, Layout, Matrix
from mlsem_jax.networks._log import Log, Step
from mlsem_jax.networks._model import NetworkModel
from mlsem_jax.networks._modelsearch import modelsearch
from mlsem_jax.networks._parameters import element_table, getmatrix, parameters
from mlsem_jax.networks._pictures import CIplot, plot_network
from mlsem_jax.networks._prune import prune
from mlsem_jax.networks._stepup import stepup
from mlsem_jax.networks._table import Element
from mlsem_jax.report import AXES

if TYPE_CHECKING:
    import pandas as pd

Index = int | str | None
_ADJUST = choice("none", "bonferroni", "holm", "hochberg", "hommel", "BH", "fdr", "BY")
_CRITERION = choice("bic", "aic", "bic2", "ebic.25", "ebic.5", "ebic.75", "ebic1", "none")
_MATRICES = names("a matrix")
_LIMIT = optional(whole(1))


@dataclass(frozen=True, eq=False, repr=False)
class NetworkFit(Fit):
    """A fit of `ml_lvm`, `ml_lnm`, `ml_rnm`, `ml_lrnm`, `ml_varcov`, `ml_ggm` or `ml_corr`: all that a [`mlsem_jax.Fit`][] has,
    and what network models have beside. Rows and columns are names of variables or positions from 1.

    network: the model that was fitted.
    """

    network: Model = field(kw_only=True)  # type: ignore[misc]  # a fit of another model has None for its class

    # -- estimates
    def parameters(self) -> pd.DataFrame:
        """One row for every element of psychonetrics' matrices, lower triangles, row and col from 1: est, se, p, par, fixed."""
        return parameters(self)

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
        return getmatrix(self, matrix, group, threshold, alpha, adjust)

    @checked(matrices=_MATRICES, top=_LIMIT)
    def MIs(self, matrices: Sequence[str] | str | None = None, top: int | None = 10) -> pd.DataFrame:
        """Modification indices of fixed elements, largest first: mi, pmi, and the expected change epc."""
        return MIs(self, matrices, top)

    @checked(
        sort=FLAG,
        minimum_value=number(),
        maximum_number=optional(whole(1)),
        information=choice("expected", "observed"),
    )
    def modification_indices(
        self,
        sort: bool = True,
        minimum_value: float = 0.0,
        maximum_number: int | None = None,
        op: str | Sequence[str] | None = None,
        information: inference.IndexInformation = "expected",
    ) -> pd.DataFrame:
        """The indices of `MIs()` in the form of lavaan's table; level is 0 for loadings that both levels share."""
        known = dict.fromkeys(matrix.operator for matrix in self.network.layout.matrices.values())
        op = None if op is None else check("op", op, words(*known))
        if information != "expected":
            raise ModelError(
                "Modification indices of network models take the information of the fit: leave information= out."
            )
        return modification_indices(self, sort, minimum_value, maximum_number, op)

    modindices = modification_indices

    @property
    def log(self) -> Log:
        """What was done to the model since it was made; print it."""
        return self.network.log

    # -- searches
    @checked(alpha=SIGNIFICANCE, adjust=_ADJUST, recursive=FLAG, matrices=_MATRICES, limit=_LIMIT)
    def prune(
        self,
        alpha: float = 0.01,
        adjust: str = "none",
        recursive: bool = False,
        matrices: Sequence[str] | str | None = None,
        limit: int | None = None,
    ) -> NetworkFit:
        """Fix the edges that are not significant at zero, all at once, and fit again; recursive=True until none is left.

        adjust: "none" "bonferroni" "holm" "hochberg" "hommel" "BH" "fdr" "BY", over the tested parameters. matrices: default
        the networks of the model (omega, kappa). limit: at most so many edges in one step, the least significant first.

        Warns, also in its log, where the likelihood-ratio test against this fit has p < .001: edges that are not significant
        one by one may be so together.
        """
        return prune(self, alpha, adjust, recursive, matrices, limit)

    @checked(alpha=SIGNIFICANCE, criterion=_CRITERION, matrices=_MATRICES, limit=_LIMIT)
    def stepup(
        self,
        alpha: float = 0.01,
        criterion: str = "bic",
        matrices: Sequence[str] | str | None = None,
        limit: int | None = None,
    ) -> NetworkFit:
        """Free the fixed edge with the largest modification index, as long as that is significant, the likelihood-ratio test
        too, and the criterion falls ("none" for no criterion).
        """
        return stepup(self, alpha, criterion, matrices, limit)

    @checked(criterion=_CRITERION, matrices=_MATRICES, prunealpha=SIGNIFICANCE, addalpha=SIGNIFICANCE, limit=_LIMIT)
    def modelsearch(
        self,
        criterion: str = "bic",
        matrices: Sequence[str] | str | None = None,
        prunealpha: float = 0.01,
        addalpha: float = 0.01,
        limit: int | None = None,
    ) -> NetworkFit:
        """Walk to the best neighbour by the criterion until there is none: all removals of edges with p > prunealpha and
        additions of edges whose index has p < addalpha are fitted at once.
        """
        return modelsearch(self, criterion, matrices, prunealpha, addalpha, limit)

    # -- edits, each fitted again
    @checked(matrix=TEXT, value=number())
    def fixpar(
        self, matrix: str, row: Index = None, col: Index = None, value: float = 0.0, group: Any = None
    ) -> NetworkFit:
        """Fix an element at a value and fit again."""
        return _edited(self, edits.fixpar(self.network, matrix, row, col, value, group))

    @checked(matrix=TEXT, start=optional(number()))
    def freepar(
        self, matrix: str, row: Index = None, col: Index = None, start: float | None = None, group: Any = None
    ) -> NetworkFit:
        """Free an element and fit again."""
        return _edited(self, edits.freepar(self.network, matrix, row, col, start, group))

    @checked(matrix=TEXT)
    def groupequal(self, matrix: str, row: Index = None, col: Index = None) -> NetworkFit:
        """Make an element, or a whole matrix, equal across groups and fit again."""
        return _edited(self, edits.groupequal(self.network, matrix, row, col))

    @checked(matrix=TEXT)
    def groupfree(self, matrix: str, row: Index = None, col: Index = None) -> NetworkFit:
        """Let the groups differ in an element, or in a whole matrix, and fit again."""
        return _edited(self, edits.groupfree(self.network, matrix, row, col))

    def transmod(self, **kinds: str) -> NetworkFit:
        """Other parametrisations, such as within_latent="ggm", and fit again."""
        return edits.transmod(self.network, **kinds).fit()

    # -- pictures
    @checked(matrices=_MATRICES, alpha=SIGNIFICANCE, ax=AXES)
    def CIplot(self, matrices: Sequence[str] | str | None = None, alpha: float = 0.05, ax: Any = None) -> Any:
        """Estimates with confidence intervals, one row each; returns the matplotlib Axes."""
        return CIplot(self, matrices, alpha, ax)

    @checked(matrix=_MATRICES)
    def plot_network(
        self, matrix: str | Sequence[str] | None = None, group: Any = None, ax: Any = None, **options: Any
    ) -> Any:
        """Networks as graphs, by default those of both levels side by side with nodes in the same places; returns the Axes.

        options: layout ("spring" or "circle"), threshold, alpha, maximum (the weight of the widest edge), labels.
        """
        return plot_network(self, matrix, group, ax, **options)


def _edited(fit: NetworkFit, model: Model) -> NetworkFit:
    """The fit of a changed model, which is estimated starting from the estimates."""
    return finish(refitted(fit, model, refit_model(fit, model)))


@dataclass(frozen=True, eq=False, repr=False)
class Model(NetworkModel):
    """A two-level network model of psychonetrics' family and the data that it is for; `fit()` estimates it.

    wanted: the table of elements as the user wants it; `table` is the same with the identifying elements fixed. rule: how
    latent scales are identified. equal: the matrices that are equal across groups from the start.
    """

    def parameters(self) -> pd.DataFrame:
        """The table of elements; estimates come with the fit."""
        return element_table(self)

    if not TYPE_CHECKING:  # so that type checkers tell misspelt names

        def __getattr__(self, name: str) -> Any:
            """What a fit has and a model has not, in words."""
            if not name.startswith("_"):
                if same := same_member(name, dir(Model)):
                    raise AttributeError(f"A network model has no attribute {name!r}: write model.{same}.")
                code = name if hasattr(NetworkFit, name) else of_fit(name, dir(NetworkFit), report.INSPECT_NAMES)
                if code:
                    raise AttributeError(f"This model has not been fitted: fit = model.fit(), then fit.{code}.")
            raise AttributeError(f"'Model' object has no attribute {name!r}", name=name, obj=self)

    # -- edits
    @checked(matrix=TEXT, value=number())
    def fixpar(self, matrix: str, row=None, col=None, value: float = 0.0, group=None) -> Model:
        """Fix an element at a value, in one group or in all. Rows and columns are names or positions from 1."""
        return edits.fixpar(self, matrix, row, col, value, group)

    @checked(matrix=TEXT, start=optional(number()))
    def freepar(self, matrix: str, row=None, col=None, start: float | None = None, group=None) -> Model:
        """Free an element, in one group or in all."""
        return edits.freepar(self, matrix, row, col, start, group)

    @checked(matrix=TEXT)
    def groupequal(self, matrix: str, row=None, col=None) -> Model:
        """Make an element, or without row and col a whole matrix, equal across groups."""
        return edits.groupequal(self, matrix, row, col)

    @checked(matrix=TEXT)
    def groupfree(self, matrix: str, row=None, col=None) -> Model:
        """Let the groups differ in an element, or in a whole matrix."""
        return edits.groupfree(self, matrix, row, col)

    def transmod(self, **kinds: str) -> Model:
        """The same model with covariance matrices parametrised anew: `within_latent="ggm"`, or for models of observed
        variables `within="ggm"`.
        """
        return edits.transmod(self, **kinds)

    # -- fitting
    @checked(verbose=optional(FLAG))
    def fit(self, *, verbose: bool | None = None) -> NetworkFit:
        """Estimate by exact maximum likelihood. Returns a [`mlsem_jax.NetworkFit`][]."""
        return _fitted(self if verbose is None else self.but(options=replace(self.options, verbose=verbose)))

    runmodel = fit


def _fitted(model: Model) -> NetworkFit:
    fit = NetworkFit(estimate(model), function=model.function, network=model)
    return finish(fit, model.data.warnings)


# what a file may hold of a network model
report.register(Model, Layout, Block, Matrix, Element, Log, Step)
