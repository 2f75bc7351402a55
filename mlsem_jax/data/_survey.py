"""Survey designs: which columns of the data hold weights, strata and replicates, and the design of the rows that a fit uses."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from mlsem_jax._errors import ModelError

Scaling = Literal["cluster", "effective", "none"]
Normalization = Literal["total", "group", "none"]


@dataclass(frozen=True)
class SurveyColumns:
    """The columns of a design, and how to use them; the names are those of the options. "" or () where there is none."""

    sampling_weights: str = ""
    sampling_weights_between: str = ""
    sampling_weights_scaling: Scaling = "cluster"
    sampling_weights_normalization: Normalization = "total"
    strata: str = ""
    lonely: str = "error"
    replicate_weights: tuple[str, ...] = ()
    replicate_type: str = ""
    fay: float = 0.5

    @classmethod
    def of(cls, options: dict[str, Any]) -> SurveyColumns:
        """Of a user's checked options; those that are not of a design are left alone."""
        return cls(**{f.name: options[f.name] for f in fields(cls) if f.name in options})

    @property
    def weighted(self) -> bool:
        return bool(self.sampling_weights or self.sampling_weights_between)

    @property
    def given(self) -> bool:
        """Whether there is a design at all."""
        return self.weighted or bool(self.strata or self.replicate_weights)

    @property
    def columns(self) -> tuple[str, ...]:
        named = (self.sampling_weights, self.sampling_weights_between, self.strata)
        return tuple(dict.fromkeys([*(name for name in named if name), *self.replicate_weights]))

    def check(self, single: bool, asked: dict[str, Any]) -> None:
        """ModelError for what does not go together. asked: the options that the user gave, by name."""
        if single and self.sampling_weights_between:
            raise ModelError(
                "sampling_weights_between= needs a two-level model ('level:' blocks). For one level multiply the two weights and "
                "give the product as sampling_weights=."
            )
        if single and "sampling_weights_scaling" in asked:
            raise ModelError(
                "sampling_weights_scaling= is for the level-1 weights of two-level models; with one level it is "
                "sampling_weights_normalization=, 'total', 'group' or 'none'."
            )
        if not single and "sampling_weights_normalization" in asked:
            raise ModelError(
                "sampling_weights_normalization= is for models of one level; with two it is sampling_weights_scaling=, 'cluster', "
                "'effective' or 'none'."
            )
        for name in ("sampling_weights_scaling", "sampling_weights_normalization"):
            if name in asked and not self.sampling_weights:
                raise ModelError(f"{name}= says how to scale sampling_weights=, which is not given.")
        if "lonely" in asked and not self.strata:
            raise ModelError("lonely= is about strata with one cluster; name their column with strata=.")
        self._check_replicates(asked)

    def _check_replicates(self, asked: dict[str, Any]) -> None:
        if not self.replicate_weights:
            for name in ("replicate_type", "fay"):
                if name in asked:
                    raise ModelError(f"{name}= is about replicate weights: name their columns with replicate_weights=.")
            return
        if not self.replicate_type:
            raise ModelError(
                "replicate_weights= needs replicate_type=: 'BRR', 'Fay', 'JK1', 'JK2' or 'bootstrap' (PISA: 'Fay'; "
                "TIMSS and PIRLS: 'JK2')."
            )
        if not self.weighted:
            raise ModelError(
                "replicate_weights= needs the full-sample weight, which the estimates go by: sampling_weights= (or "
                "sampling_weights_between=)."
            )
        if self.replicate_type == "JK1" and len(self.replicate_weights) < 2:
            raise ModelError(
                "replicate_type='JK1' needs two columns of replicate weights or more: (R - 1) / R is 0 for one."
            )
        if "fay" in asked and self.replicate_type != "Fay":
            raise ModelError(f"fay= is for replicate_type='Fay', not {self.replicate_type!r}.")


@dataclass(frozen=True, eq=False)
class Survey:
    """The design of the rows that a fit uses.

    rows (N,), clusters (J,): weights as they count, None where all are 1. strata (J,): code of the stratum of each cluster, or with
    one level and no clusters of each row; stratum_labels (H,). empty: units of each stratum (without strata: of each group) that
    have no row with a positive weight; they are part of the design. unit_replicates (R, J): what the weight of each cluster, or
    with one level and no clusters of each row, is multiplied by in a replicate; row_replicates (R, N): scaled weights of rows in
    its place, where a replicate weight changes within clusters. row_effect, cluster_effect: design effects of the weights, 1 plus
    their squared coefficient of variation (Kish 1965).
    """

    columns: SurveyColumns
    rows: np.ndarray | None = None
    clusters: np.ndarray | None = None
    strata: np.ndarray | None = None
    stratum_labels: tuple[str, ...] = ()
    empty: np.ndarray | None = None
    unit_replicates: np.ndarray | None = None
    row_replicates: np.ndarray | None = None
    row_effect: float = 1.0
    cluster_effect: float = 1.0

    def only(self, rows: np.ndarray, clusters: np.ndarray) -> Survey:
        """Of some rows and clusters (masks or indices), without what is of the whole design."""

        def pick(x: np.ndarray | None, at: np.ndarray) -> np.ndarray | None:
            return None if x is None else x[at]

        return Survey(self.columns, pick(self.rows, rows), pick(self.clusters, clusters), pick(self.strata, clusters))
