"""How many points the integrals over latent variables have: what fits in memory at both levels together."""

import pytest

from mlsem_jax import ModelError
from mlsem_jax.ordinal.full._layout import MOST_TOGETHER, Layout, points_for


def layout_of(between: int, within: int) -> Layout:
    return Layout((0,), (), (), (), (), (), (1,), (2,), "probit", tuple(range(within)), tuple(range(between)))


@pytest.mark.parametrize(
    ("between", "within", "asked", "points"),
    [(1, 1, 15, 15), (2, 2, 15, 15), (2, 1, 21, 21), (4, 1, 15, 6), (2, 3, 15, 8), (4, 2, 15, 1), (9, 0, 15, 1)],
)
def test_points_of_both_levels_fit_in_memory(between, within, asked, points):
    found, told = points_for(layout_of(between, within), "adaptive", asked)
    assert found.points[0] == points
    assert found.points[0] ** between * found.points[1] ** within <= MOST_TOGETHER
    assert bool(told) == (points < asked)


def test_too_many_points_within_clusters_are_refused():
    with pytest.raises(ModelError, match=r"integration_points=61 makes 61\*\*3 points"):
        points_for(layout_of(1, 3), "adaptive", 61)
