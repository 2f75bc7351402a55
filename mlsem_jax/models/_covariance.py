"""Ways to write a covariance matrix: everything the library knows of one stands in one class, and nowhere else.

Each way has a matrix called the core, which holds the dependences, and some have a vector of scales beside it. Formulas that
must be traced as well as computed in NumPy take an array namespace `xp` (numpy or jax.numpy) and are written once.
`docs/extend/covariance.md` adds one; `_kinds` keeps the list of them.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np

from mlsem_jax._errors import ModelError, listing, nearest
from mlsem_jax._typing import Array, Float
from mlsem_jax.models._covariance_derivatives import Terms, as_terms, slopes
from mlsem_jax.numerics import inverse as swept_inverse

Kind = str


class CovarianceKind:
    """One way to write a covariance matrix Sigma (d, d): subclass it, set the names, write the formulas, `register` it.

    name: what users pass ("ggm"). core, scale: names of the matrices as psychonetrics has them; the level and the part of the
    model are added ("omega_zeta_within"). scale is None where the core says it all.

    - symmetric: the core is; otherwise it is lower triangular. With a scale its diagonal is zero and not estimated.
    - plain: the elements of the core are the variances and covariances themselves, which may be improper.
    - network: a zero in the core is a missing edge, so searches for edges take this core where they are not told which.
    - inverts: `sigma` takes the inverse of `inside`. One inverse then serves all kinds that need one.
    - everywhere: Sigma and its derivatives are finite at any core and scale. In a batch every lane computes every kind; a kind
      for which this is not so is shown the identity in the lanes of other kinds.
    - absent: what the diagonal of the core holds for a variable that a level does not have, one without free or nonzero elements
      in its row. In the arrays of a kind without a scale of its own, the scale is 0 for those and 1 for the others.
    - operator, scale_operator: psychonetrics' signs in a table of elements; table_operator: that of names of parameters, where
      it is another. title, scale_title: headings of a summary.
    """

    name: str
    core: str
    scale: str | None = None
    symmetric = True
    plain = False
    network = False
    inverts = False
    everywhere = False
    absent = 0.0
    operator = ""
    scale_operator = "~/~"
    table_operator = ""
    title = ""
    scale_title = ""

    # -- the matrix
    def inside(self, xp: ModuleType, core: Array) -> Array:
        """The matrix (d, d) that Sigma is made of: it is positive definite exactly where Sigma is."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its matrix is made of")

    def sigma(self, xp: ModuleType, core: Array, scale: Array, inner: Array) -> Array:
        """Sigma (d, d) from core (d, d), scale (d,) and `inside`, or where the kind `inverts` its inverse. No LAPACK."""
        return scale[:, None] * scale[None, :] * inner

    def covariance(self, xp: ModuleType, core: Array, scale: Array) -> Array:
        """Sigma (d, d) from core (d, d) and scale (d,) alone."""
        inner = self.inside(xp, core)
        return self.sigma(xp, core, scale, inverse(xp, inner) if self.inverts else inner)

    def decompose(self, cov: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Core (d, d) and scale (d,), ones where the kind has none, of a positive definite matrix."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to write a given matrix")

    def derived(self, cov: np.ndarray) -> dict[str, np.ndarray]:
        """Matrices (d, d) by name that are shown of any covariance matrix, however it was written. NaN where there are none."""
        try:
            core, scale = self.decompose(cov)
        except (np.linalg.LinAlgError, FloatingPointError):
            core, scale = np.full_like(cov, np.nan), np.full(len(cov), np.nan)
        return {self.core: core} | ({} if self.scale is None else {self.scale: np.diag(scale)})

    # -- derivatives
    def core_terms(self, core: np.ndarray, scale: np.ndarray, i: np.ndarray, j: np.ndarray) -> Terms:
        """Derivatives of Sigma in the elements (i, j) of the core; of a symmetric core, in both places of each at once.

        From automatic differentiation, which compiles a program for every d; a closed form costs nothing.
        """
        slope = np.moveaxis(slopes(self.covariance, core, scale)[0], (0, 1), (2, 3))
        both = (i != j)[:, None, None] & self.symmetric
        return as_terms(slope[i, j] + np.where(both, slope[j, i], 0.0))

    def scale_terms(self, core: np.ndarray, scale: np.ndarray, i: np.ndarray) -> Terms:
        """Derivatives of Sigma in the elements i of the scale."""
        return as_terms(np.moveaxis(slopes(self.covariance, core, scale)[1], 2, 0)[i])

    # -- what is proper
    def definite(self, core: np.ndarray, margin: float = 0.0) -> bool:
        """Whether the smallest eigenvalue of `inside`, scaled to unit diagonal, is above the margin. Rows without a diagonal
        element are of variables that do not exist.
        """
        matrix = self.inside(np, core)
        keep = np.diag(matrix) != 0
        matrix = matrix[np.ix_(keep, keep)]
        diagonal = np.diag(matrix)
        if not len(diagonal) or np.any(diagonal <= 0):
            return not len(diagonal)
        return bool(np.linalg.eigvalsh(matrix / np.sqrt(np.outer(diagonal, diagonal)))[0] > margin)

    def runs_off(self, core: np.ndarray, margin: float) -> bool:
        """Whether Sigma grows without bound, because what it is the inverse of tends to a singular matrix."""
        return self.inverts and not self.definite(core, margin)

    def made_definite(self, core: np.ndarray, margin: float = 1e-3) -> np.ndarray:
        """The core with its elements off the diagonal shrunk until it is `definite`; itself where it is."""
        diagonal = np.diag(np.diag(core))
        for _ in range(60):
            if self.definite(core, margin):
                return core
            core = diagonal + 0.8 * (core - diagonal)
        return diagonal

    # -- where to start
    def deviation(self, xp: ModuleType, own: Array) -> Array:
        """The standard deviation that an element of the scale, or without a scale of the core's diagonal, stands for where the
        variables are uncorrelated.
        """
        return own

    def own(self, xp: ModuleType, deviation: Array) -> Array:
        """The element that stands for a standard deviation: the inverse function of `deviation`."""
        return deviation

    def start(self, xp: ModuleType, cov: Array, deviation: Array) -> Array:
        """A core (d, d) to start from, given a matrix that need not be positive definite and positive standard deviations (d,):
        uncorrelated variables. Where NumPy is free to decompose a repaired matrix, it does that instead.
        """
        return xp.zeros_like(cov) if self.scale is not None else xp.diag(self.own(xp, deviation))

    # -- in tables
    @property
    def sign(self) -> str:
        """Between the variables of an element of the core."""
        return self.operator or f"~{self.core}~"

    @property
    def row_operator(self) -> str:
        """The operator of an element of the core in the parameter table."""
        return self.table_operator or self.sign

    @property
    def heading(self) -> str:
        return self.title or f"Elements of {self.core}"

    @property
    def scale_heading(self) -> str:
        return self.scale_title or f"Scales ({self.scale})"

    # -- identity: a record is known by its name, wherever a structure travels
    def __reduce__(self):
        return kind_named, (self.name,)

    def __repr__(self) -> str:
        matrices = self.core if self.scale is None else f"{self.core}, {self.scale}"
        return f"<covariance kind {self.name!r}: {matrices}>"


# what `register` made known, by name, and the names in order of registration
RECORDS: dict[Kind, CovarianceKind] = {}
KINDS: list[Kind] = []


def kind_named(name: Kind | None) -> CovarianceKind:
    """The kind of that name; None is a plain covariance matrix. Raises ModelError for a name that is not registered."""
    name = "cov" if name is None else name
    if name not in RECORDS:
        raise ModelError(
            f"There is no covariance kind {name!r}.{nearest(name, KINDS)} There are {listing(map(repr, KINDS), 12)}; others are "
            "made known by mlsem_jax.models.register() before a model is made or loaded."
        )
    return RECORDS[name]


def inverse(xp: ModuleType, a: Array) -> Array:
    """Inverse (d, d) in NumPy, or by sweeps where it may be traced and batched."""
    return np.linalg.inv(a) if xp is np else swept_inverse(a)


def partial_correlations(kappa: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """omega_ij = -kappa_ij / sqrt(kappa_ii kappa_jj), zero diagonal."""
    scale = 1 / np.sqrt(np.diag(kappa))
    omega = -kappa * np.outer(scale, scale)
    np.fill_diagonal(omega, 0.0)
    return omega


def _half(i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """(t, 1): one half where an element of a symmetric matrix is on the diagonal and so stands in one place only."""
    return np.where(i == j, 0.5, 1.0)[:, None]


def _regular_inverse(cov: np.ndarray) -> np.ndarray:
    """The inverse; NaN where the correlation matrix is singular or a variance negative."""
    with np.errstate(all="ignore"):
        sd = np.sqrt(np.diag(cov))
        regular = np.linalg.cond(cov / np.abs(np.outer(sd, sd))) < 1e13 if np.all(sd > 0) else False
        return np.linalg.inv(cov) if regular else np.full_like(cov, np.nan)


class Plain(CovarianceKind):
    """Sigma itself: variances and covariances."""

    name, core = "cov", "sigma"
    plain = everywhere = True
    operator = "~~"

    def inside(self, xp, core):
        return core

    def decompose(self, cov):
        return cov, np.ones(len(cov))

    def derived(self, cov):
        return {}

    def core_terms(self, core, scale, i, j):
        eye = np.eye(len(core))
        return np.arange(len(i)), _half(i, j) * eye[i], eye[j]

    def deviation(self, xp, own):
        return xp.sqrt(own)

    def own(self, xp, deviation):
        return deviation**2

    def start(self, xp, cov, deviation):
        return cov


class Cholesky(CovarianceKind):
    """Sigma = L L' with L lower triangular: positive semidefinite whatever its elements."""

    name, core = "chol", "lowertri"
    symmetric, everywhere = False, True
    operator, title = "~chol~", "Cholesky Factor"

    def inside(self, xp, core):
        return core @ core.T

    def decompose(self, cov):
        return np.linalg.cholesky(cov), np.ones(len(cov))

    def derived(self, cov):
        return {}  # as in psychonetrics

    def core_terms(self, core, scale, i, j):
        return np.arange(len(i)), np.eye(len(core))[i], core.T[j]

    def definite(self, core, margin=0.0):
        return bool(np.all(np.abs(np.diag(core)) > 0))


class Precision(CovarianceKind):
    """Sigma = K^-1: conditional independences are zeros of K."""

    name, core = "prec", "kappa"
    network = inverts = everywhere = True
    absent = 1.0
    operator, title = "--", "Precisions"

    def inside(self, xp, core):
        return core

    def decompose(self, cov):
        kappa = np.linalg.inv(cov)
        return (kappa + kappa.T) / 2, np.ones(len(cov))

    def derived(self, cov):
        return {"kappa": _regular_inverse(cov)}

    def core_terms(self, core, scale, i, j):
        cov = self.covariance(np, core, scale)
        return np.arange(len(i)), -_half(i, j) * cov[i], cov[j]

    def deviation(self, xp, own):
        return 1 / xp.sqrt(own)

    def own(self, xp, deviation):
        return 1 / deviation**2


class PartialCorrelations(CovarianceKind):
    """Sigma = D (I - Omega)^-1 D: a Gaussian graphical model (Epskamp, Rhemtulla & Borsboom 2017)."""

    name, core, scale = "ggm", "omega", "delta"
    network = inverts = everywhere = True
    operator, title, scale_title = "--", "Network (partial correlations)", "Scales of the network (delta)"

    def inside(self, xp, core):
        return xp.eye(core.shape[-1], dtype=core.dtype) - core

    def decompose(self, cov):
        kappa = np.linalg.inv(cov)
        kappa = (kappa + kappa.T) / 2
        return partial_correlations(kappa), 1 / np.sqrt(np.diag(kappa))

    def derived(self, cov):
        with np.errstate(all="ignore"):
            return {"omega": partial_correlations(_regular_inverse(cov))}

    def core_terms(self, core, scale, i, j):
        rows = scale * np.linalg.inv(self.inside(np, core))  # of (D P)'
        return np.arange(len(i)), _half(i, j) * rows[i], rows[j]

    def scale_terms(self, core, scale, i):
        rows = scale * np.linalg.inv(self.inside(np, core))
        return np.arange(len(i)), np.eye(len(core))[i], rows[i]


class Correlations(CovarianceKind):
    """Sigma = D (I + R) D: correlations and standard deviations."""

    name, core, scale = "cor", "rho", "SD"
    everywhere = True
    operator, table_operator = "~~", "~cor~"  # a covariance of standardised variables is no '~~' of lavaan's
    title, scale_title = "Correlations", "Standard Deviations"

    def inside(self, xp, core):
        return xp.eye(core.shape[-1], dtype=core.dtype) + core

    def decompose(self, cov):
        sd = np.sqrt(np.diag(cov))
        return cov / np.outer(sd, sd) - np.eye(len(cov)), sd

    def derived(self, cov):
        with np.errstate(all="ignore"):
            sd = np.sqrt(np.diag(cov))
            return {"rho": cov / np.outer(sd, sd), "SD": np.diag(sd)}

    def core_terms(self, core, scale, i, j):
        eye = np.eye(len(core))
        return np.arange(len(i)), _half(i, j) * scale[i, None] * eye[i], scale[j, None] * eye[j]

    def scale_terms(self, core, scale, i):
        return np.arange(len(i)), np.eye(len(core))[i], (scale * self.inside(np, core))[i]
