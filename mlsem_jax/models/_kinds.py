"""The list of covariance kinds, and the choice among them that a structure carries as data."""

from __future__ import annotations

import re
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._errors import ModelError
from mlsem_jax._record import Record, static
from mlsem_jax._typing import Array, Float, Int
from mlsem_jax.models._covariance import (
    KINDS,
    RECORDS,
    Cholesky,
    Correlations,
    CovarianceKind,
    Kind,
    PartialCorrelations,
    Plain,
    Precision,
    kind_named,
)
from mlsem_jax.numerics import sweep

_OWN = ("cov", "chol", "prec", "ggm", "cor")
# matrices of a network model that no kind may take the name of
_TAKEN = ("nu", "nu_eta", "mu", "lambda", "beta", "sigma_eta", "sigma_crosssection")
# what becomes a call to LAPACK, as a traced program writes it
_LAPACK = re.compile(r"= (lu|cholesky|triangular_solve|eigh?|svd|qr|geqrf|schur|hessenberg|tridiagonal)\b")


def register(kind: CovarianceKind) -> CovarianceKind:
    """Make a way to write a covariance matrix available to every model that is made from now on, under its name.

    Structures carry the kinds that they choose among, so programs compiled before serve the models made before, and models
    made from now on compile anew. A kind registered again under its name takes the place of the old one.

    **Raises:** ModelError where names clash, a formula cannot be traced or calls LAPACK, or the formulas contradict each other.
    """
    _check_names(kind)
    check_formulas(kind)
    return _known(kind)


def _known(kind: CovarianceKind) -> CovarianceKind:
    RECORDS[kind.name] = kind
    if kind.name not in KINDS:
        KINDS.append(kind.name)
    return kind


def unregister(name: Kind) -> None:
    """Take a kind off the list. Structures that were made while it was there keep working."""
    kind = kind_named(name)
    if kind.name in _OWN:
        raise ModelError(f"{name!r} is one of the library's own kinds and stays.")
    del RECORDS[kind.name]
    KINDS.remove(kind.name)


def registered() -> tuple[CovarianceKind, ...]:
    """All kinds; the position of one is its code in the arrays of structures that are made now."""
    return tuple(RECORDS.values())


class Choice(Record):
    """Which of some kinds a covariance matrix is written in: `code` is data, so a batch may mix kinds and a compiled program
    serves them all; the kinds themselves are part of the program.
    """

    code: Int[Array, ""]
    among: tuple[CovarianceKind, ...] = static()

    @classmethod
    def of(cls, name: Kind | None) -> Choice:
        """A kind by name, among all that are registered now (NumPy)."""
        among = registered()
        return cls(np.array(among.index(kind_named(name))), among)

    @property
    def kind(self) -> CovarianceKind:
        """The kind that is chosen; not inside a traced function."""
        return self.among[int(self.code)]

    def holds(self, test: Callable[[CovarianceKind], bool]) -> Array:
        """Whether the chosen kind has a property: () bool."""
        return jnp.any(jnp.stack([self.code == i for i in self._positions(test)]))

    def sigma(self, core: Float[Array, "d d"], scale: Float[Array, " d"]) -> Float[Array, "d d"]:
        """The covariance matrix. Selections, not branches: one inverse serves all kinds that need one (half the compile time of
        a switch), and a batch may mix kinds; a kind that needs none must not meet a singular matrix.
        """
        chosen = [self.code == i for i in range(len(self.among))]
        eye = jnp.eye(core.shape[-1], dtype=core.dtype)
        given = [
            (core, scale) if kind.everywhere else _shielded(kind, here, core, scale, eye)
            for kind, here in zip(self.among, chosen, strict=True)
        ]
        inner = [kind.inside(jnp, own) for kind, (own, _) in zip(self.among, given, strict=True)]
        inverting, direct = self._positions(lambda kind: kind.inverts), self._positions(lambda kind: not kind.inverts)
        inverted, _, pivot = sweep(jnp.select([chosen[i] for i in inverting], [inner[i] for i in inverting], eye))
        # behind a singular matrix to be inverted lies no covariance matrix: no search may step across
        inverted = jnp.where(pivot > 0, inverted, jnp.nan)
        # D inner D, as most kinds have it, once for all of them
        common = jnp.select([chosen[i] for i in direct], [inner[i] for i in direct], inverted)
        out = CovarianceKind.sigma(self.among[0], jnp, core, scale, common)
        for i in self._positions(lambda kind: type(kind).sigma is not CovarianceKind.sigma):
            kind, inside = self.among[i], inverted if i in inverting else inner[i]
            out = jnp.where(chosen[i], kind.sigma(jnp, *given[i], inside), out)
        return out

    def _positions(self, test: Callable[[CovarianceKind], bool]) -> list[int]:
        return [i for i, kind in enumerate(self.among) if test(kind)]

    def start(self, cov: Float[Array, "d d"]) -> tuple[Float[Array, "d d"], Float[Array, " d"]]:
        """Core and scale to start from; kinds other than plain start uncorrelated."""
        variance = jnp.diagonal(cov)
        deviation = jnp.sqrt(jnp.where(variance > 0, variance, 1.0))
        core = jnp.stack([kind.start(jnp, cov, deviation) for kind in self.among])[self.code]
        own = [deviation if kind.scale is None else kind.own(jnp, deviation) for kind in self.among]
        alike = all(x is deviation for x in own)
        return core, deviation if alike else jnp.stack(own)[self.code]


def _shielded(kind: CovarianceKind, here: Array, core: Array, scale: Array, eye: Array) -> tuple[Array, Array]:
    """Core and scale, or in lanes of other kinds those of the identity: what is not selected must be finite all the same, with
    its derivatives.
    """
    one = jnp.ones_like(scale)
    own = one if kind.scale is None else kind.own(jnp, one)
    return jnp.where(here, core, kind.start(jnp, eye, one)), jnp.where(here, scale, own)


def _check_names(kind: CovarianceKind) -> None:
    if not isinstance(kind, CovarianceKind):
        raise ModelError(f"register() takes an instance of a subclass of CovarianceKind, not {kind!r}.")
    for attribute in ("name", "core"):
        if not str(getattr(kind, attribute, "")).isidentifier():
            raise ModelError(
                f"{type(kind).__name__} has no {attribute}: set it to a word, as in {attribute} = 'omega'."
            )
    if kind.name in _OWN and kind.name in RECORDS:
        raise ModelError(f"{kind.name!r} is one of the library's own kinds: choose another name.")
    others = {name: other for other in registered() if other.name != kind.name for name in (other.core, other.scale)}
    for name in (kind.core, kind.scale):
        if (name in others and name is not None) or name in _TAKEN:
            whose = f"belongs to the kind {others[name].name!r}" if name in others else "is taken"
            raise ModelError(f"The matrix name {name!r} of the kind {kind.name!r} {whose}: choose another.")


def check_formulas(kind: CovarianceKind) -> None:
    """Written and read again, a covariance matrix is the same; the formulas can be traced and call no LAPACK."""
    cov = np.array([[2.0, 0.6, -0.3], [0.6, 1.5, 0.4], [-0.3, 0.4, 0.8]])
    core, scale = kind.decompose(cov)
    if np.shape(core) != (3, 3) or np.shape(scale) != (3,):
        raise ModelError(
            f"{kind.name}: decompose() of a (3, 3) matrix must return a core (3, 3) and a vector of scales (3,), not "
            f"{np.shape(core)} and {np.shape(scale)}."
        )
    if np.any(np.triu(core, 1)) if not kind.symmetric else not np.allclose(core, core.T):
        shape = "symmetric" if kind.symmetric else "lower triangular"
        raise ModelError(
            f"{kind.name}: the core that decompose() returns is not {shape}; set `symmetric` to what it is."
        )
    again = kind.covariance(np, core, scale)
    if not np.allclose(again, cov, rtol=1e-8, atol=1e-8):
        raise ModelError(f"{kind.name}: covariance(*decompose(S)) is not S:\n{np.round(again, 6)}\nfor S =\n{cov}")
    sizes = np.array([0.5, 1.0, 3.0])
    if not np.allclose(kind.deviation(np, kind.own(np, sizes)), sizes):
        raise ModelError(f"{kind.name}: deviation() and own() must be inverse functions of each other.")
    start = kind.covariance(np, kind.start(np, cov, sizes), sizes if kind.scale is None else kind.own(np, sizes))
    unscaled = kind.covariance(np, kind.start(np, cov, sizes), np.ones(3)) if kind.scale is None else start
    if not kind.plain and not np.allclose(unscaled, np.diag(sizes**2)):
        raise ModelError(f"{kind.name}: start() must give uncorrelated variables with the standard deviations given.")
    try:
        program = str(jax.make_jaxpr(lambda c, s: kind.covariance(jnp, c, s))(core, scale))
    except Exception as problem:
        first = str(problem).strip().splitlines()[0]
        raise ModelError(
            f"{kind.name}: inside() and sigma() cannot be traced by JAX ({first}). Use the functions of xp in them."
        ) from problem
    if found := _LAPACK.search(program):
        raise ModelError(
            f"{kind.name}: inside() or sigma() calls LAPACK ({found[1]}), which must not be batched. Set `inverts`, or use "
            "mlsem_jax.numerics.inverse."
        )


# tests check the formulas of these: to trace them takes a tenth of the time that the library needs to be imported
for _kind in (Plain(), Cholesky(), Precision(), PartialCorrelations(), Correlations()):
    _known(_kind)
