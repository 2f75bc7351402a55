"""Model: a network model with its data, not yet fitted. Immutable: every edit returns another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsem_jax._arguments import FLAG, TEXT, checked, number, optional
from mlsem_jax._errors import ModelError
from mlsem_jax.data import TwoLevelData
from mlsem_jax.estimation import FitOptions
from mlsem_jax.models import Specification, Structure, build
from mlsem_jax.networks import _edit as edits
from mlsem_jax.networks._identify import Identification, identify
from mlsem_jax.networks._layout import Layout
from mlsem_jax.networks._log import Log
from mlsem_jax.networks._specify import specify
from mlsem_jax.networks._table import Table

if TYPE_CHECKING:
    import pandas as pd

    from mlsem_jax._fit import Fit


@dataclass(frozen=True, eq=False)
class Model:
    """A two-level network model of psychonetrics' family and the data that it is for.

    wanted: the table of elements as the user wants it; `table` is the same with the identifying elements fixed. rule: how
    latent scales are identified. equal: the matrices that are equal across groups from the start.
    """

    layout: Layout
    wanted: Table
    data: TwoLevelData
    options: FitOptions
    rule: Identification = "loadings"
    equal: tuple[str, ...] = ()
    function: str = "ml_lvm"
    log: Log = field(default_factory=Log)

    # -- what the model is
    @cached_property
    def table(self) -> Table:
        return identify(self.layout, self.wanted, self.rule)

    @cached_property
    def _specified(self) -> tuple[Specification, np.ndarray]:
        return specify(self.layout, self.table)

    @property
    def specification(self) -> Specification:
        """The same model as the library's common description of two-level models."""
        return self._specified[0]

    @property
    def rows(self) -> np.ndarray:
        """The row of the specification's parameter table that holds each element of `table`; -1 for fixed zeros."""
        return self._specified[1]

    @property
    def model(self) -> Structure:
        """The model as one equinox module of arrays: theta -> within and between moments."""
        return build(self.specification).structure

    def parameters(self) -> pd.DataFrame:
        """The table of elements; estimates come with the fit."""
        from mlsem_jax.networks._parameters import element_table

        return element_table(self)

    # -- edits
    def but(self, **changes: Any) -> Model:
        """A copy with some fields changed."""
        return replace(self, **changes)

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
    def fit(self, *, verbose: bool | None = None) -> Fit:
        """Estimate by exact maximum likelihood. Returns a [`mlsem_jax.Fit`][] with the methods of network models."""
        from mlsem_jax.networks._fitting import fit_model

        return fit_model(self if verbose is None else self.but(options=replace(self.options, verbose=verbose)))

    runmodel = fit

    def operation(self, name: str) -> Callable[..., Any]:
        """The function behind a method that `Fit` has for network models; it takes the fit first."""
        from mlsem_jax.networks._operations import OPERATIONS

        return OPERATIONS[name]

    def __repr__(self) -> str:
        kinds = ", ".join(f"{block.suffix[1:]} {block.kind}" for block in self.layout.blocks)
        return (
            f"<mlsem_jax network model {self.function}: {len(self.layout.variables)} variables, "
            f"{len({e.parameter for e in self.table if e.free})} parameters; {kinds}; not fitted, call .fit()>"
        )


def model_of(fit: Fit) -> Model:
    """The network model that was fitted. Raises ModelError for a fit of another kind of model."""
    if fit.network is None:
        raise ModelError(f"This is for fits of network models; this fit was made by {fit.function}().")
    return fit.network
