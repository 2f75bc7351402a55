"""NetworkModel: what a network model is, and the data that it is for. Immutable."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from html import escape
from typing import Any, Self

import numpy as np

from mlsem_jax.data import TwoLevelData
from mlsem_jax.estimation import FitOptions
from mlsem_jax.models import Specification, Structure, build
from mlsem_jax.networks._identify import Identification, identify
from mlsem_jax.networks._layout import Layout
from mlsem_jax.networks._log import Log
from mlsem_jax.networks._specify import specify
from mlsem_jax.networks._table import Table


@dataclass(frozen=True, eq=False)
class NetworkModel:
    """The record of a two-level network model; `Model` (_fit.py) is the same with the methods that edit and estimate it.

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

    def but(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def __repr__(self) -> str:
        """What is to be fitted to what; the matrices with their free elements."""
        layout, data = self.layout, self.data
        kinds = ", ".join(f"{block.suffix[1:]} {block.kind}" for block in layout.blocks)
        groups = f" in {layout.ngroups} groups" if layout.groups else ""
        return (
            f"<mlsem_jax network model {self.function}: {len(layout.variables)} variables, "
            f"{len({e.parameter for e in self.table if e.free})} parameters; {kinds}; not fitted, call .fit()\n"
            f" data: {data.nrows} rows in {data.nclusters} clusters{groups}\n"
            f" free elements: {', '.join(f'{name} {count}' for name, count in self._free.items())}>"
        )

    def _repr_html_(self) -> str:
        lines = repr(self).strip("<>").split("\n")
        return "".join(f"<div>{escape(line.strip())}</div>" for line in lines)

    @property
    def _free(self) -> dict[str, int]:
        """Free elements of every matrix that has some."""
        count = Counter(e.matrix for e in self.table if e.free)
        return {name: count[name] for name in self.layout.matrices if count[name]}
