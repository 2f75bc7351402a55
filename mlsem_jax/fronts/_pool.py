"""`ml.pool`: fits of one model to several imputations as one; and the fits of several data sets that `ml.sem` is given."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mlsem_jax import inference
from mlsem_jax._arguments import FLAG, check, number, optional
from mlsem_jax._errors import DataError, IdentificationError, ModelError, ModelSyntaxError, ModelWarning, listing
from mlsem_jax.data import data_sets, plausible_tables
from mlsem_jax.estimation import kind_of
from mlsem_jax.fits import Fit, PooledFit

# numbers by which warnings of two data sets may differ
_NUMBER = re.compile(r"(?<=\s)-?\d+\.\d+(e[-+]?\d+)?(?=[\s.,])")
_COMPLETE_DF = optional(number(0, above=True))


def pool(
    fits: Iterable[Fit] | Mapping[str, Fit],
    *more: Fit,
    complete_df: float | None = None,
    only_converged: bool = False,
) -> PooledFit:
    """Fits of one model to several imputations of a data set, or to several plausible values, as one (Rubin 1987).

    **Arguments:**

    - `fits`: two fits or more in a list, or in a dictionary by name. Models of one level and of two, of groups, of networks. Where
      their standard errors are those of replicate weights, or robust, their squares are the variance within imputations.
    - `complete_df`: degrees of freedom that inference from complete data would have (clusters less parameters, for example);
      degrees of freedom are then those of Barnard and Rubin (1999), which are no more than that. Default: Rubin's.
    - `only_converged`: leave fits out that did not converge, with a warning that names them; without it they are an error.

    **Returns:** a [`mlsem_jax.PooledFit`][].

    **Raises:** ModelError for fewer than two fits, and for fits of different models, groups or options.
    """
    complete_df = check("complete_df", complete_df, _COMPLETE_DF)
    return _pool(_named(fits, more), complete_df, check("only_converged", only_converged, FLAG), "fit", 3)


def _named(fits: Any, more: tuple[Any, ...]) -> dict[str, Any]:
    if more or isinstance(fits, Fit):
        raise ModelError("pool() takes the fits in a list: ml.pool([fit1, fit2, ...]).")
    if isinstance(fits, PooledFit):
        raise ModelError(
            "pool() takes the fits of single imputations; this is a pooled fit, whose fits are pooled.fits."
        )
    if isinstance(fits, Mapping):
        return {str(name): fit for name, fit in fits.items()}
    if isinstance(fits, str) or not hasattr(fits, "__iter__"):
        raise ModelError(f"pool() takes a list of fits, not {kind_of(fits)}.")
    return {f"fit {i}": fit for i, fit in enumerate(fits, 1)}


def _pool(
    named: dict[str, Any], complete_df: float | None, only_converged: bool, what: str, stacklevel: int
) -> PooledFit:
    for name, fit in named.items():
        if not isinstance(fit, Fit):
            hint = " It has not been fitted: call its fit()." if hasattr(fit, "runmodel") else ""
            raise ModelError(f"pool() takes fits; {name!r} is {kind_of(fit)}.{hint}")
    if len(named) < 2:
        raise ModelError(f"pool() needs two fits or more, and was given {len(named)}.")
    notes: list[str] = []
    failed = [name for name, fit in named.items() if not fit.converged]
    if failed:
        told = f"{listing(failed, 10)} of {len(named)} did not converge"
        if not only_converged:
            first = named[failed[0]].status
            raise ModelError(
                f"{told} ({first.sentence} {first.advice}".strip()
                + f"). Repair {'it' if len(failed) == 1 else 'them'}, or leave out with only_converged=True."
            )
        notes.append(f"{told} and {'was' if len(failed) == 1 else 'were'} left out.")
        named = {name: fit for name, fit in named.items() if fit.converged}
        if len(named) < 2:
            raise ModelError(f"{told}, so that fewer than two fits are left to pool.")
    _same_front_end(named)
    notes += inference.check_poolable({name: fit.estimation for name, fit in named.items()})
    first_fit = next(iter(named.values()))
    if first_fit.estimation.options.se == "none":
        notes.append("The fits have no standard errors (se='none'), and without them only estimates can be pooled.")
    for note in notes:
        warnings.warn(note, ModelWarning, stacklevel=stacklevel)
    return PooledFit(tuple(named.values()), tuple(named), complete_df, tuple(failed), tuple(notes))


def _same_front_end(named: Mapping[str, Fit]) -> None:
    kinds = {name: (type(fit), getattr(fit.network, "function", None)) for name, fit in named.items()}
    (first, kind), *others = kinds.items()
    for name, other in others:
        if other != kind:
            functions = [named[n].function for n in (first, name)]
            raise ModelError(
                f"{first} was made by {functions[0]}() and {name} by {functions[1]}(): fits that are pooled are of one model."
            )


def fit_each(fit: Callable[[Any, dict[str, Any]], Fit], data: Any, options: dict[str, Any]) -> PooledFit:
    """Every data set fitted by fit(data, options), and pooled. A warning of several fits is issued once, with their names."""
    rest = dict(options)
    plausible, only = rest.pop("plausible_values", None), rest.pop("only_converged", False)
    only = check("only_converged", only, FLAG)
    sets = data_sets(data) if plausible is None else plausible_tables(data, plausible)
    what = "imputation" if plausible is None else "plausible value"
    fits: dict[str, Fit] = {}
    told: dict[tuple[type[Warning], str], list[tuple[str, str]]] = {}
    for name, one in sets.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fits[f"{what} {name}"] = _one(fit, one, rest, f"{what} {name}", first=not fits)
        if len(fits) == 1 and plausible is not None:
            _check_used(plausible, fits[f"{what} {name}"])
        for warning in caught:
            text = str(warning.message)
            told.setdefault((warning.category, _NUMBER.sub("#", text)), []).append((name, text))
    for (category, _), found in told.items():
        warnings.warn(found[0][1] + _whose(found, len(sets), what), category, stacklevel=4)
    return _pool(fits, None, only, what, 5)


def _whose(found: list[tuple[str, str]], total: int, what: str) -> str:
    """Whose a warning is; '' where all data sets have the same."""
    names, texts = dict.fromkeys(name for name, _ in found), {text for _, text in found}
    if len(names) == total and len(texts) == 1:
        return ""
    first = f"; the numbers are of {what} {found[0][0]}" if len(texts) > 1 else ""
    return f" ({what}{'s' * (len(names) > 1)} {listing(names, 10)}{first})"


def _one(fit: Callable[[Any, dict[str, Any]], Fit], data: Any, options: dict[str, Any], name: str, first: bool) -> Fit:
    """One fit; an error that another data set does not have says whose it is."""
    try:
        return fit(data, options)
    except (DataError, IdentificationError, ModelError, ModelSyntaxError) as error:
        if first and not isinstance(error, DataError):
            raise
        raise type(error)(f"{name[0].upper()}{name[1:]}: {error}") from None


def _check_used(plausible: Mapping[str, Any], fit: Fit) -> None:
    variables = fit.specification.variables
    if unused := [str(name) for name in plausible if str(name) not in variables]:
        raise ModelError(f"plausible_values names {listing(map(repr, unused))}, which the model does not have.")
