"""What stands in the way of ordered variables before a fit: rare and absent categories, empty tables, clusters of one answer."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from mlsem_jax._errors import listing
from mlsem_jax.data import TwoLevelData
from mlsem_jax.models import Specification

# rows of a category below which its threshold is hardly known
RARE = 5
# share of clusters, of those with two rows and more, within which a variable is constant, from which on that is told
ALIKE = 0.5


def ordered_advice(specification: Specification, data: TwoLevelData, rows: np.ndarray, where: str) -> list[str]:
    """Sentences on the ordered variables in some rows (numbers), a group's."""
    known = dict(data.ordered)
    place = {name: i for i, name in enumerate(data.variables)}
    names = [v.name for v in specification.ordered]
    codes = {name: data.values[rows, place[name]] for name in names}
    out = [text for name in names for text in _categories(name, codes[name], known[name], where)]
    out += _empty_cells([(name, codes[name], len(known[name])) for name in names], where)
    if not specification.single:
        _, cluster = np.unique(data.cluster[rows], return_inverse=True)
        both = [name for name in names if name in specification.within.observed]
        out += [text for name in both for text in _alike(name, codes[name], cluster, where)]
    return out


def _categories(name: str, codes: np.ndarray, categories: tuple, where: str) -> list[str]:
    """Absent and rare categories."""
    count = np.bincount(codes[~np.isnan(codes)].astype(int), minlength=len(categories))
    out = []
    absent = [categories[c] for c in np.flatnonzero(count == 0)]
    if absent:
        which = f"categor{'y' if len(absent) == 1 else 'ies'} {listing(absent, 6)}"
        out.append(f"{name}{where} has no row in {which}: no fit takes that. Merge it with a neighbour, in all groups.")
    rare = [f"{categories[c]} ({count[c]})" for c in np.flatnonzero((count > 0) & (count < RARE))]
    if rare:
        out.append(
            f"{name}{where}: categories with few rows, {listing(rare, 6)}. Their thresholds are imprecise; merge them."
        )
    return out


def _empty_cells(items: list[tuple[str, np.ndarray, int]], where: str) -> list[str]:
    """Pairs of variables with combinations of categories that nobody has, though both occur."""
    found = []
    for (first, a, k), (second, b, m) in combinations(items, 2):
        seen = ~np.isnan(a) & ~np.isnan(b)
        table = np.bincount((a[seen] * m + b[seen]).astype(int), minlength=k * m).reshape(k, m)
        empty = int(np.sum((table == 0) & (table.sum(axis=1) > 0)[:, None] & (table.sum(axis=0) > 0)[None, :]))
        if empty:
            found.append(f"{first} and {second} ({empty} of {k * m})")
    if not found:
        return []
    return [
        f"Combinations of categories that nobody has{where}: {listing(found, 5)}. Polychoric correlations (WLSMV) rest on few rows "
        "there; estimator='ML' does not need them."
    ]


def _alike(name: str, codes: np.ndarray, cluster: np.ndarray, where: str) -> list[str]:
    """A variable whose answers are alike in most clusters: its between variance runs away."""
    seen = ~np.isnan(codes)
    size = np.bincount(cluster[seen])
    low, high = np.full(len(size), np.inf), np.full(len(size), -np.inf)
    np.minimum.at(low, cluster[seen], codes[seen])
    np.maximum.at(high, cluster[seen], codes[seen])
    several = size > 1
    alike = int(np.sum(several & (low == high)))
    if not several.any() or alike < ALIKE * several.sum():
        return []
    return [
        f"{name}{where} does not vary within {alike} of {int(several.sum())} clusters with two rows and more: its between variance "
        "will be large and imprecise. Merge categories, or name it at level: 2 only."
    ]
