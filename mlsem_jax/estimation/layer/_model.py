"""A two-level model for the JAX layer: one equinox module, arrays as leaves, labels beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._errors import DataError, ModelError, listing
from mlsem_jax._typing import Array, Float
from mlsem_jax.data import SurveyColumns
from mlsem_jax.estimation.fit import fit_unstructured
from mlsem_jax.estimation.layer._given import as_theta
from mlsem_jax.estimation.problem import (
    Estimation,
    Reduction,
    bounds_of,
    held,
    moments_of_data,
    saturated,
    saturated_given_covariates,
    split_covariates,
)
from mlsem_jax.estimation.starts import starting_values
from mlsem_jax.models import Build, Moments, Specification, Structure, build, values_by_label
from mlsem_jax.numerics import delta_errors, float64
from mlsem_jax.ordinal import Layout, OrdinalTerm


@dataclass(frozen=True)
class Source:
    """How a table becomes the statistics of the model: its cluster and group columns, the treatment of missing values, and the
    columns of weights and strata. ordered: the categories of the ordered variables, by name; layout: the integral over latent
    variables that their likelihood is, None without ordered variables, and where the model has no likelihood.
    """

    cluster: str = ""
    group: str | None = None
    missing: str = "listwise"
    group_label: tuple[str, ...] | None = None
    survey: SurveyColumns | None = None
    ordered: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    layout: Layout | None = None


@dataclass(frozen=True)
class Labels:
    """The words that belong to a model's arrays. names (q,) label theta; natural (k,) the natural parameters; by_label: names
    and labels with their natural parameter; refused: constraints and bounds that the JAX layer does not fit under.
    """

    specification: Specification
    names: tuple[str, ...]
    natural: tuple[str, ...]
    by_label: tuple[tuple[str, int], ...]
    refused: tuple[str, ...]
    source: Source

    @cached_property
    def _hash(self) -> int:
        return hash((self.specification, self.names, self.by_label, self.source))

    def __hash__(self) -> int:
        # a jitted function looks its arguments' static parts up on every call
        return self._hash


class Model(eqx.Module):
    """A two-level model as a pytree: `model(theta)` gives the moments of both levels.

    structure: arrays of the model; saturated: those of the unrestricted model h1 (None where there is none); start (q,):
    starting values from the data that the model was made with; held (2, p), or (2, G, p) where groups differ in them: 1 for fixed
    covariates of level 1 and level 2 whose moments are held at the data's. labels is static.
    """

    structure: Structure
    saturated: Structure | None
    start: Float[Array, " q"]
    held: Float[Array, "2 ... p"]
    labels: Labels = eqx.field(static=True)

    def __call__(self, theta: Float[Array, " q"]) -> Moments:
        """Within and between means and covariances by group."""
        return self.structure(jnp.asarray(self._checked(theta)))

    def _checked(self, theta: Any) -> Any:
        """theta (q,) as an array. DataError for another length, names of other parameters, or what are no numbers."""
        return as_theta(self, theta, "A method of the model")

    @property
    def names(self) -> tuple[str, ...]:
        """Labels of theta's elements, in lavaan's spelling."""
        return self.labels.names

    @property
    def variables(self) -> tuple[str, ...]:
        """The observed variables in the order of the moments."""
        return self.labels.specification.variables

    @property
    def df(self) -> int:
        """Degrees of freedom of the chi-square test."""
        return moments_of_data(self.labels.specification) - len(self.names)

    def __repr__(self) -> str:
        """What the model is, by its labels alone: its arrays may be traced."""
        labels = self.labels
        levels = "one level" if labels.specification.single else "two levels"
        shape: tuple[int, ...] = getattr(getattr(self.structure, "between_only", None), "shape", ())
        many = f"{shape[0]} models" if len(shape) == 2 else "model"
        df = "" if self.saturated is None else f", {self.df} degrees of freedom"
        return (
            f"<mlsem_jax {many} of {levels}: {len(self.variables)} variables, {len(self.names)} parameters{df}\n"
            f" variables: {listing(self.variables, 8)}\n"
            f" theta: {listing(self.names, 6)}\n"
            " ml.statistics(model, data), ml.log_likelihood(model, theta, stats), ml.estimate(model, stats); equinox.tree_pprint "
            "shows its arrays>"
        )

    def parameters(self, theta: Float[Array, " q"]) -> dict[str, Array]:
        """Natural values by name: free parameters in lavaan's order, then the `:=` quantities."""
        theta = self._checked(theta)
        natural = self.structure.natural(theta)
        values = dict(zip(self.labels.natural, natural, strict=False))
        return values | self.defined(theta)

    def defined(self, theta: Float[Array, " q"]) -> dict[str, Array]:
        """The `:=` quantities by name."""
        definitions = self.labels.specification.definitions
        values = values_by_label(self.structure.natural(self._checked(theta)), dict(self.labels.by_label), definitions)
        return {d.name: values[d.name] for d in definitions}

    def standard_errors(self, theta: Float[Array, " q"], vcov: Float[Array, "q q"]) -> dict[str, Array]:
        """Standard errors of `parameters(theta)` by the delta method, from the sampling covariance of theta."""
        theta = self._checked(theta)
        if np.shape(vcov) != (len(theta), len(theta)):
            raise DataError(
                f"vcov must be the sampling covariance of theta, {(len(theta),) * 2}, not {np.shape(vcov)}."
            )
        names = list(self.parameters(theta))
        jacobian = jax.jacfwd(lambda t: jnp.stack([jnp.asarray(v) for v in self.parameters(t).values()]))(theta)
        return dict(zip(names, delta_errors(jnp, jacobian, vcov), strict=True))

    def check_estimable(self) -> None:
        """ModelError if the model has constraints or bounds that the JAX layer does not fit under."""
        if self.labels.refused:
            raise ModelError(
                f"ml.estimate and ml.estimate_batch fit under linear equality constraints only; this model has "
                f"{listing(self.labels.refused)}. Use ml.sem for it, write the constraint linearly, or build the parametrisation "
                "into your own function of theta and ml.log_likelihood."
            )


def make_labels(built: Build, source: Source, bounds: Any = "none") -> Labels:
    """The static part of a Model."""
    refused = tuple(dict.fromkeys(f"the rotation of the efa() block {b.name!r}" for b in built.specification.blocks))
    refused += tuple(c.text for c in built.nonlinear) + tuple(text for *_, text in bounds_of(built, bounds))
    return Labels(
        specification=built.specification,
        names=tuple(built.names[i] for i in built.kept),
        natural=built.names,
        by_label=tuple(built.labels.items()),
        refused=refused,
        source=source,
    )


def held_mask(specification: Specification) -> np.ndarray:
    """(2, p): 1 for the covariates of level 1 and level 2 whose moments are held at the data's; (2, G, p) where groups differ."""
    groups = [specification.group(g) for g in range(1, specification.ngroups + 1)]
    names = [[held(one, level) for one in groups] for level in (1, 2)]
    masks = np.array([[[float(v in own) for v in specification.variables] for own in level] for level in names])
    return masks[:, 0] if np.all(masks == masks[:, :1]) else masks


def model_of(estimation: Estimation) -> Model:
    """The Model that was fitted: what it holds for exogenous moments is what the fit held, and it starts at the estimates."""
    built, data = estimation.model.build, estimation.data
    columns = None if data.survey is None else replace(data.survey.columns, replicate_weights=(), replicate_type="")
    layouts = [term.layout for term in estimation.statistics.terms if isinstance(term, OrdinalTerm)]
    source = Source(
        data.cluster_name,
        data.group_name,
        estimation.options.missing,
        survey=columns,
        ordered=data.ordered,
        layout=layouts[0] if layouts else None,
    )
    return Model(
        structure=built.structure,
        saturated=None if estimation.h1 is None else _reference(built.specification, estimation.exogenous),
        start=estimation.model.theta,
        held=held_mask(built.specification),
        labels=make_labels(built, source, estimation.options.bounds),
    )


def _reference(specification: Specification, exogenous: Moments) -> Structure:
    return build(saturated_given_covariates(specification), exogenous).structure


def with_exogenous(model: Model, moments: Moments) -> Model:
    """The same model, holding other moments of exogenous covariates: NumPy arrays by level, variables in the model's order."""
    specification = model.labels.specification
    reference = None if model.saturated is None else _reference(specification, moments)
    return replace(model, structure=build(specification, moments).structure, saturated=reference)


@float64
def make_model(specification: Specification, reduction: Reduction, source: Source) -> Model:
    """The Model of a specification, exogenous moments and starting values taken from a data set's statistics."""
    alone, (within, between, mean) = specification.alone_within, reduction.sample
    both = Moments.two_level(within, between, np.where(alone, mean, 0.0), np.where(alone, 0.0, mean))
    exogenous = Moments(both.levels[: len(specification.levels)])
    h1 = None if specification.slopes else saturated(specification)
    if split_covariates(specification) and h1 is not None:
        exogenous = fit_unstructured(h1, reduction.statistics, exogenous, reduction.sample).moments
    built = build(specification, exogenous)
    return Model(
        structure=built.structure,
        saturated=None if h1 is None else _reference(specification, exogenous),
        start=starting_values(built, *reduction.sample)[built.kept],
        held=held_mask(specification),
        labels=make_labels(built, source),
    )
