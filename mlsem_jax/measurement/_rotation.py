"""Rotation of loadings: gradient projection from many starts (Jennrich 2001, 2002), finished by Newton steps.

Unrotated loadings A (p, m) of uncorrelated factors become L = A T'^-1 with factor correlations T'T, the columns of T of length
one; with orthogonal rotation T'T = I and L = A T.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlsem_jax.measurement._criteria import Criterion, criterion_of
from mlsem_jax.models import Rotation

ITERATIONS, HALVINGS = 4000, 24
# length of the projected gradient at which a search ends; Newton steps make it exact
FLAT = 1e-7
# relative difference of values of a criterion below which two minima are one
SAME = 1e-6


@dataclass(frozen=True, eq=False)
class Rotated:
    """transformation T (m, m), loadings L (p, m) and correlations (m, m); value: of the criterion. found: how many of the starts
    ended there; minima: the values of all that were found, the best first.
    """

    transformation: np.ndarray
    loadings: np.ndarray
    correlations: np.ndarray
    value: float
    found: int
    starts: int
    minima: tuple[float, ...]


def rotate(loadings: np.ndarray, rotation: Rotation) -> Rotated:
    """Rotate A (p, m), standardized as the criterion is to see it. Columns are ordered by their largest loading and have a positive
    sum, but those that a target names.
    """
    m = loadings.shape[1]
    if m == 1:
        sign = np.sign(loadings.sum()) or 1.0
        one = np.ones((1, 1))
        return Rotated(sign * one, sign * loadings, one, 0.0, 0, 0, ())
    criterion = criterion_of(rotation)
    rng = np.random.default_rng(rotation.seed)
    begin = np.linalg.qr(rng.normal(size=(rotation.starts, m, m)))[0]
    begin = np.concatenate([np.eye(m)[None], begin])
    ends, values = _search(loadings, criterion, begin, rotation.orthogonal)
    best = float(values.min())
    near = values - best < SAME * max(1.0, abs(best))
    t = _polish(loadings, criterion, ends[int(np.argmin(values))], rotation.orthogonal)
    t = _arranged(loadings, t, rotation)
    l = _loadings(loadings, t, rotation.orthogonal)
    minima = _distinct(np.sort(values))
    return Rotated(t, l, t.T @ t, float(criterion(l)[0]), int(near.sum()), len(begin), minima)


def stationarity(loadings: np.ndarray, correlations: np.ndarray, rotation: Rotation) -> np.ndarray:
    """What is zero at a stationary point of the criterion: of an oblique one the off-diagonal of L' dQ/dL Phi^-1, of an orthogonal
    one the antisymmetric part of L' dQ/dL. Complex values are followed.
    """
    return _conditions(loadings, correlations, criterion_of(rotation), rotation.orthogonal)


def _conditions(loadings: np.ndarray, correlations: np.ndarray, criterion: Criterion, orthogonal: bool) -> np.ndarray:
    across = loadings.T @ criterion(loadings)[1]
    if orthogonal:
        return (across - across.T)[np.triu_indices(len(across), 1)]
    across = np.linalg.solve(correlations.T, across.T).T
    return across[~np.eye(len(across), dtype=bool)]


def _loadings(a: np.ndarray, t: np.ndarray, orthogonal: bool) -> np.ndarray:
    return a @ (t if orthogonal else np.linalg.inv(np.swapaxes(t, -1, -2)))


def rotate_toward(loadings: np.ndarray, rotation: Rotation, wanted: np.ndarray) -> np.ndarray:
    """Transformations T (B, m, m) of A (B, p, m), each to the minimum of the criterion next to rotated loadings that are wanted,
    (p, m), with their order and signs.

    The search begins where A comes nearest to them: at the regression weights of the columns wanted on A, for an orthogonal T at
    the nearest orthogonal ones (Schonemann 1966).
    """
    near = np.linalg.pinv(loadings) @ wanted
    if wanted.shape[1] == 1:
        return np.where(near < 0, -1.0, 1.0)
    if rotation.orthogonal:
        begin = _onto(near, True)
    else:
        begin = _onto(np.swapaxes(np.linalg.inv(near), -1, -2), False)
    criterion = criterion_of(rotation)
    ends, _ = _search(loadings, criterion, begin, rotation.orthogonal)
    out = np.empty_like(ends)
    for i, (a, t) in enumerate(zip(loadings, ends, strict=True)):
        t = _polish(a, criterion, t, rotation.orthogonal)
        out[i] = _alike(_loadings(a, t, rotation.orthogonal), t, wanted)
    return out


def _alike(l: np.ndarray, t: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """T with the columns of L in the order, and with the signs, of those wanted that they are most alike (Tucker 1951)."""
    from scipy.optimize import linear_sum_assignment  # slow to import, and few need it

    scale = np.sqrt((l**2).sum(0))[:, None] * np.sqrt((wanted**2).sum(0))
    congruence = (l.T @ wanted) / np.where(scale > 0, scale, 1.0)
    rows, columns = linear_sum_assignment(-np.abs(congruence))
    order = rows[np.argsort(columns)]
    sign = np.where(congruence[order, np.arange(len(order))] < 0, -1.0, 1.0)
    return t[:, order] * sign


def _search(a: np.ndarray, criterion: Criterion, t: np.ndarray, orthogonal: bool) -> tuple[np.ndarray, np.ndarray]:
    """Gradient projection from T (S, m, m), all starts side by side: their ends and the criterion there (S,). a: (p, m), or
    (S, p, m) where each start has loadings of its own.
    """
    t, a = t.copy(), np.broadcast_to(a, (len(t), *a.shape[-2:]))
    step, active = np.ones(len(t)), np.arange(len(t))
    value = criterion(_loadings(a, t, orthogonal))[0]
    for _ in range(ITERATIONS):
        here = t[active]
        slope = _projected(a[active], criterion, here, orthogonal)
        size = np.sqrt((slope**2).sum((1, 2)))
        active, here, slope, size = (x[size > FLAT] for x in (active, here, slope, size))
        if not len(active):
            break
        step[active] *= 2
        waiting = np.ones(len(active), bool)
        for _ in range(HALVINGS):
            at = active[waiting]
            trial = _onto(here[waiting] - step[at, None, None] * slope[waiting], orthogonal)
            new = criterion(_loadings(a[at], trial, orthogonal))[0]
            good = new < value[at] - 0.5 * size[waiting] ** 2 * step[at]
            t[at[good]], value[at[good]] = trial[good], new[good]
            step[at[~good]] /= 2
            waiting[np.flatnonzero(waiting)[good]] = False
            if not waiting.any():
                break
        active = active[~waiting]  # where no step goes down rounding is reached
        if not len(active):
            break
    return t, value


def _projected(a: np.ndarray, criterion: Criterion, t: np.ndarray, orthogonal: bool) -> np.ndarray:
    """The gradient in T along the manifold (S, m, m)."""
    l = _loadings(a, t, orthogonal)
    by_loading = criterion(l)[1]
    if orthogonal:
        slope = np.swapaxes(a, -1, -2) @ by_loading
        inside = np.swapaxes(t, 1, 2) @ slope
        return slope - t @ (inside + np.swapaxes(inside, 1, 2)) / 2
    slope = -np.swapaxes(np.swapaxes(l, 1, 2) @ by_loading @ np.linalg.inv(t), 1, 2)
    return slope - t * (t * slope).sum(1, keepdims=True)


def _onto(t: np.ndarray, orthogonal: bool) -> np.ndarray:
    """The nearest orthogonal matrices, or the columns at length one."""
    if not orthogonal:
        return t / np.sqrt((t**2).sum(-2, keepdims=True))
    u, _, v = np.linalg.svd(t)
    return u @ v


def _moved(t: np.ndarray, x: np.ndarray, orthogonal: bool) -> np.ndarray:
    """T moved along the manifold by x, one number for each condition."""
    m = len(t)
    move = np.zeros((m, m), x.dtype)
    if orthogonal:
        move[np.triu_indices(m, 1)] = x
        move = move - move.T
        return t @ np.linalg.solve(np.eye(m) - move, np.eye(m) + move)
    move[~np.eye(m, dtype=bool)] = x
    new = t + t @ move
    return new / np.sqrt((new**2).sum(0))


def _polish(a: np.ndarray, criterion: Criterion, t: np.ndarray, orthogonal: bool) -> np.ndarray:
    """Newton steps to where the conditions hold to rounding, as long as they come nearer."""

    def conditions(x: np.ndarray, t: np.ndarray) -> np.ndarray:
        new = _moved(t, x, orthogonal)
        return _conditions(_loadings(a, new, orthogonal), new.T @ new, criterion, orthogonal)

    m = len(t)
    count = m * (m - 1) // (2 if orthogonal else 1)
    off = np.abs(conditions(np.zeros(count), t)).max()
    for _ in range(6):
        jacobian = complex_slopes(lambda x, t=t: conditions(x, t), np.zeros(count))
        try:
            new = _moved(t, -np.linalg.solve(jacobian, conditions(np.zeros(count), t)), orthogonal)
        except np.linalg.LinAlgError:
            break
        left = np.abs(conditions(np.zeros(count), new)).max()
        if not left < off:
            break
        t, off = new, left
    return t


def complex_slopes(function, at: np.ndarray, which: np.ndarray | None = None) -> np.ndarray:
    """Jacobian (c, n) of a function of n numbers by complex steps: exact, for functions that are analytic. which: the columns that
    may be other than 0.
    """
    which = np.arange(len(at)) if which is None else which
    columns = {}
    for i in which:
        moved = at.astype(complex)
        moved[i] += 1e-30j
        columns[int(i)] = function(moved).imag / 1e-30
    rows = len(next(iter(columns.values()))) if columns else 0
    out = np.zeros((rows, len(at)))
    for i, column in columns.items():
        out[:, i] = column
    return out


def _arranged(a: np.ndarray, t: np.ndarray, rotation: Rotation) -> np.ndarray:
    """T with the columns of L in the order of their largest loadings, each with a positive sum; a target says the order, and where
    it has other numbers than zeros the sign as well.
    """
    l = _loadings(a, t, rotation.orthogonal)
    sign = np.where(l.sum(0) < 0, -1.0, 1.0)
    if rotation.criterion == "target":
        wanted = np.nan_to_num(np.array(rotation.target, float))
        return t * np.where(np.any(wanted != 0, axis=0), 1.0, sign)
    order = np.argsort(np.abs(l).argmax(0), kind="stable")
    return (t * sign)[:, order]


def _distinct(values: np.ndarray) -> tuple[float, ...]:
    out: list[float] = []
    for value in values.tolist():
        if not out or value - out[-1] > SAME * max(1.0, abs(value)):
            out.append(value)
    return tuple(out)
