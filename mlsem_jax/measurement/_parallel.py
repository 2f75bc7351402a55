"""Covariances of both levels by analysis of variance, of data and of many draws of items that share nothing.

With W the cross-products within J clusters of N rows and B those of their means, each as often as its size, the estimates are
S_W = W / (N - J) and S_B = (B / (J - 1) - S_W) / n, n = (N - sum n_j^2 / N) / (J - 1) (Searle, Casella & McCulloch 1992).
"""

from __future__ import annotations

import numpy as np

# numbers that are drawn at once, at most
AT_ONCE = 2**22


def level_covariances(values: np.ndarray, cluster: np.ndarray | None) -> tuple[np.ndarray, ...]:
    """Covariances (p, p) of each level of complete rows (N, p); of one level without clusters (N,)."""
    if cluster is None:
        return (np.cov(values.T),)
    sizes = np.bincount(cluster).astype(float)
    means = np.stack([np.bincount(cluster, column, len(sizes)) / sizes for column in values.T], axis=1)
    deviations = values - means[cluster]
    within, between = _estimates((deviations.T @ deviations)[None], means[None], sizes)
    return within[0], between[0]


def drawn_covariances(
    like: tuple[np.ndarray, ...], rows: int, sizes: np.ndarray | None, n: int, rng: np.random.Generator
) -> np.ndarray:
    """Covariances (n, levels, p, p) estimated from n data sets of normal items without any correlation, of the variances `like`."""
    sd = [np.sqrt(np.diag(cov)) for cov in like]
    if sizes is None:
        return _scaled(_cross_products(rows - 1, len(sd[0]), n, rng) / (rows - 1), sd[0])[:, None]
    within = _scaled(_cross_products(rows - len(sizes), len(sd[0]), n, rng), sd[0])
    out = []
    step = max(1, AT_ONCE // (len(sizes) * len(sd[0])))
    for first in range(0, n, step):
        part = within[first : first + step]
        noise = np.sqrt(sd[1] ** 2 + sd[0] ** 2 / sizes[:, None])
        means = rng.normal(size=(len(part), len(sizes), len(sd[0]))) * noise
        out.append(np.stack(_estimates(part, means, sizes.astype(float)), axis=1))
    return np.concatenate(out)


def correlation_eigenvalues(covariances: np.ndarray) -> np.ndarray:
    """Eigenvalues (n, levels, p) of the correlation matrices, the largest first; NaN where a variance is not positive."""
    variance = np.diagonal(covariances, axis1=-2, axis2=-1)
    good = np.all(variance > 0, axis=-1)
    out = np.full(variance.shape, np.nan)
    sd = np.sqrt(variance[good])
    out[good] = np.linalg.eigvalsh(covariances[good] / (sd[:, :, None] * sd[:, None, :]))[:, ::-1]
    return out


def _estimates(within: np.ndarray, means: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """S_W and S_B (n, p, p) of cross-products within (n, p, p) and cluster means (n, J, p)."""
    total, clusters = sizes.sum(), len(sizes)
    s_w = within / (total - clusters)
    centred = means - np.einsum("j,njp->np", sizes, means)[:, None] / total
    between = np.einsum("j,njp,njq->npq", sizes, centred, centred) / (clusters - 1)
    size = (total - (sizes**2).sum() / total) / (clusters - 1)
    return s_w, (between - s_w) / size


def _scaled(covariances: np.ndarray, sd: np.ndarray) -> np.ndarray:
    return covariances * np.outer(sd, sd)


def _cross_products(df: int, p: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Wishart draws (n, p, p) with the identity and df degrees of freedom, by their triangular root (Bartlett 1933)."""
    root = np.tril(rng.normal(size=(n, p, p)), -1)
    root[:, np.arange(p), np.arange(p)] = np.sqrt(rng.chisquare(df - np.arange(p), size=(n, p)))
    return root @ np.swapaxes(root, 1, 2)
