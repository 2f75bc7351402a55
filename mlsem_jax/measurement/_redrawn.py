"""Draws of a bootstrap of rotated solutions: each is fitted unrotated, then rotated to the minimum next to the estimate."""

from __future__ import annotations

import numpy as np

from mlsem_jax.estimation import Estimation
from mlsem_jax.inference import Through
from mlsem_jax.measurement._exploratory import as_seen, standardized, transformed
from mlsem_jax.measurement._rotation import rotate_toward
from mlsem_jax.models import Build, ExploratoryBlock, build, place, unrotated
from mlsem_jax.numerics import float64


@float64
def through_unrotated(estimation: Estimation) -> Through | None:
    """How the bootstrap finds rotated solutions; None for a fit without efa() blocks.

    A draw's loadings are rotated from where they come nearest to the estimated ones, so that no other minimum of the criterion,
    no other order of the factors and no other sign adds to what the draws differ by.
    """
    fitted = estimation.model
    blocks = fitted.build.specification.blocks
    if not blocks:
        return None
    plain = build(place(unrotated(fitted.build.specification)), estimation.exogenous)
    turns = [(block, _echelon(fitted.build, fitted.natural, block)) for block in blocks]
    natural = transformed(fitted.build, fitted.natural, plain, turns)
    wanted = [_seen(fitted.build, fitted.natural, block) for block in blocks]

    def back(theta: np.ndarray) -> np.ndarray:
        points = plain.natural(theta)
        good, turned = np.ones(len(points), bool), []
        for block, target in zip(blocks, wanted, strict=True):
            parts = [standardized(plain, point, block) for point in points]
            loadings, sd = np.stack([one[0] for one in parts]), np.stack([one[2] for one in parts])
            good &= np.isfinite(loadings).all(axis=(1, 2)) & np.all(sd > 0, axis=1)
            safe = np.where(good[:, None], sd, 1.0), np.where(good[:, None, None], loadings, target)
            turned.append(np.swapaxes(rotate_toward(as_seen(safe[1], safe[0], block), block.rotation, target), 1, 2))
        out = np.full((len(points), len(fitted.build.kept)), np.nan)
        for i in np.flatnonzero(good):
            here = [(block, t[i]) for block, t in zip(blocks, turned, strict=True)]
            out[i] = transformed(plain, points[i], fitted.build, here)[fitted.build.kept]
        return out

    return Through(plain, natural[plain.kept], back)


def _echelon(built: Build, natural: np.ndarray, block: ExploratoryBlock) -> np.ndarray:
    """H (m, m) with which H eta is uncorrelated, of variance one, and its loadings have zeros above the diagonal."""
    loadings, covariances, _ = standardized(built, natural, block)
    root = np.linalg.cholesky(covariances)
    turn = np.linalg.qr((loadings @ root)[: len(root)].T)[0]
    return turn.T @ np.linalg.inv(root)


def _seen(built: Build, natural: np.ndarray, block: ExploratoryBlock) -> np.ndarray:
    """The rotated loadings (p, m) as the criterion sees them."""
    loadings, covariances, sd = standardized(built, natural, block)
    scaled = loadings / sd[:, None]
    if not block.rotation.kaiser:
        return scaled
    return scaled / np.sqrt(np.sum((scaled @ covariances) * scaled, axis=1))[:, None]
