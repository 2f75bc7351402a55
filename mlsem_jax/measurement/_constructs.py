"""The constructs of a model: factors by name, with the observed indicators that they have at each level and group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlsem_jax._errors import ModelError
from mlsem_jax.estimation import Estimation
from mlsem_jax.inference import row_values
from mlsem_jax.models import Parameter, Specification


@dataclass(frozen=True)
class Scale:
    """A factor at one level and group: its indicators, and the row of the parameter table of each loading.

    latent: indicators that are factors themselves.
    """

    items: tuple[str, ...]
    rows: tuple[int, ...]
    latent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Construct:
    """A factor name in one group (from 1); scales: by level, those that there are."""

    name: str
    group: int
    scales: dict[int, Scale]


def constructs(specification: Specification) -> list[Construct]:
    """Every factor name of every group, in order of appearance. Raises ModelError for a model without factors."""
    found: dict[tuple[int, str], dict[int, list[tuple[int, Parameter]]]] = {}
    for i, row in enumerate(specification.parameters):
        if row.op == "=~":
            found.setdefault((row.group, row.lhs), {}).setdefault(row.level, []).append((i, row))
    if not found:
        raise ModelError(
            "reliability() is about the scales of factors, and this model has no factor: write one, as in f =~ y1 + y2 + y3."
        )
    return [
        Construct(name, group, {level: _scale(specification, level, rows) for level, rows in sorted(levels.items())})
        for (group, name), levels in found.items()
    ]


def _scale(specification: Specification, level: int, rows: list[tuple[int, Parameter]]) -> Scale:
    observed = specification.level(level).observed
    own = [(i, row.rhs) for i, row in rows if row.rhs in observed]
    latent = tuple(row.rhs for _, row in rows if row.rhs not in observed)
    return Scale(tuple(name for _, name in own), tuple(i for i, _ in own), latent)


def reversed_items(estimation: Estimation, construct: Construct) -> dict[int, list[str]]:
    """By level, the items whose loading has another sign than most of the scale's."""
    values, out = row_values(estimation), {}
    for level, scale in construct.scales.items():
        loadings = values[list(scale.rows)]
        against = loadings < 0 if np.sum(loadings < 0) <= np.sum(loadings > 0) else loadings > 0
        if against.any():
            out[level] = [item for item, yes in zip(scale.items, against, strict=True) if yes]
    return out


def equal_loadings(estimation: Estimation, construct: Construct) -> bool:
    """Whether a construct has the same items with the same loadings at both levels."""
    if set(construct.scales) != {1, 2}:
        return False
    values = row_values(estimation)
    by_item = [dict(zip(s.items, values[list(s.rows)], strict=True)) for s in construct.scales.values()]
    if set(by_item[0]) != set(by_item[1]):
        return False
    return all(abs(value - by_item[1][item]) <= 1e-8 * max(1.0, abs(value)) for item, value in by_item[0].items())
