"""What the functions of the JAX layer are given, checked before anything is computed: one sentence and a remedy for each mistake.

Of arrays that a JAX transformation traces only shape and type are looked at, which are known while it does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._errors import DataError, ModelError, listing, nearest
from mlsem_jax._typing import Array
from mlsem_jax.estimation.search import Settings
from mlsem_jax.likelihood import CompleteTerm, PatternTerm, Statistics
from mlsem_jax.models import Structure
from mlsem_jax.ordinal import OrdinalTerm

if TYPE_CHECKING:
    from mlsem_jax.estimation.layer._model import Model

# the largest relative difference of a value that theta implies from the one given for it
ROUNDING = 1e-6


def kind_of(x: Any) -> str:
    """'a DataFrame', 'an int', 'None': what a user passed."""
    if x is None:
        return "None"
    if isinstance(x, str):
        return "text"
    name = type(x).__name__
    return f"{'an' if name[0].lower() in 'aeio' else 'a'} {name}"


def is_labelled(model: Any) -> TypeGuard[Model]:
    """Whether this is a Model: a Structure with names beside it."""
    return isinstance(getattr(model, "structure", None), Structure) and hasattr(model, "labels")


def check_model(model: Any, what: str, *, labelled: bool = False, lanes: bool = False) -> None:
    """ModelError unless it is a Model (or, without labelled, a Structure) of one model (with lanes: or of many, stacked)."""
    if not (is_labelled(model) or (isinstance(model, Structure) and not labelled)):
        raise ModelError(
            f"{what} takes the model that ml.model(text, data, cluster=...) returns, {_instead(model, what)}"
        )
    structure = model.structure if is_labelled(model) else model
    axes = np.ndim(structure.between_only) - 1
    if axes not in ((0, 1) if lanes else (0,)):
        remedy = (
            "Pass them to ml.estimate_batch, or map over that axis: jax.vmap(ml.estimate, (0, None))(models, stats)."
            if axes == 1
            else "A model's between_only has one axis (p,)."
        )
        raise ModelError(
            f"{what} takes one model; the arrays of this one lead with an axis of "
            f"{listing(np.shape(structure.between_only)[:axes])}, as those of models that were stacked do. {remedy}"
        )


def _instead(given: Any, what: str) -> str:
    """The end of the sentence about something that is no model."""
    name = type(given).__name__
    if isinstance(given, str):
        return "not text. Make the model first: model = ml.model(text, data, cluster=...)."
    if isinstance(given, Structure):
        return "not a bare Structure, which knows no names: pass the model that it belongs to."
    if name == "Fit":
        return (
            "not a Fit, which is a model fitted already. Make the model of the same text: ml.model(text, data, cluster=...); "
            "fit.coef() and fit.loglik are the fit's own results."
        )
    if isinstance(given, Statistics) or name == "Collected":
        return f"not statistics: the order is {what}(model, ..., stats), the model first."
    if hasattr(given, "runmodel"):
        return "not a network model. Pass its arrays, model.model, which is a Structure." + (
            " This function needs names of parameters, so that it is for models of ml.model only."
            if what in ("ml.simulate", "ml.montecarlo", "ml.statistics")
            else ""
        )
    if hasattr(given, "columns"):
        return "not a table: the model comes first."
    return f"not {kind_of(given)}."


def check_statistics(model: Model | Structure, statistics: Statistics, what: str, *, lanes: bool = False) -> None:
    """DataError for statistics of a batch where those of one data set are meant, and for those of another model."""
    if not statistics.terms:
        raise DataError(f"{what} was given statistics without any data.")
    structure = model.structure if is_labelled(model) else model
    axes = np.ndim(statistics.lane_mark) - 1
    if axes == 1 and not lanes:
        raise DataError(
            f"{what} takes the statistics of one data set; these are of a batch of {np.shape(statistics.lane_mark)[0]}. Use "
            f"ml.estimate_batch(model, stats), or map over them: jax.vmap(lambda one: {what}(model, ..., one))(stats)."
        )
    if axes not in (0, 1):
        raise DataError(
            f"The statistics have {axes} axes in front of those of one data set: {what} takes "
            f"{'at most one, the lanes' if lanes else 'none'}."
        )
    _check_alike(structure, statistics, axes)


def _check_alike(structure: Structure, statistics: Statistics, axes: int) -> None:
    remedy = "Make them with ml.statistics(model, data) of this model."
    if _of_ordered(structure, statistics, remedy):
        return
    p, groups = np.shape(structure.between_only)[-1], np.shape(structure.within.nu.base)[-2]
    complete, patterns = statistics.complete, statistics.first(PatternTerm)
    found = p
    if complete is not None:
        found = np.shape(complete.within)[-1]
    elif patterns is not None:
        found = np.shape(patterns.reference)[-1]
    if found != p:
        raise DataError(f"The statistics are of another model: of {found} variables, the model of {p}. {remedy}")
    if complete is not None and np.shape(complete.within)[axes] != groups:
        raise DataError(
            f"The statistics are of another model: of {np.shape(complete.within)[axes]} groups, the model of {groups}. {remedy}"
        )
    slopes = structure.slope_targets is not None
    # a term of another kind says nothing of slopes
    of_slopes = [not term.saturated for term in statistics.terms if isinstance(term, CompleteTerm | PatternTerm)]
    if slopes and of_slopes and not any(of_slopes):
        raise DataError(f"The statistics are of a model without random slopes; this model has some. {remedy}")
    if not slopes and any(of_slopes):
        raise DataError(f"The statistics are of a model with random slopes; this model has none. {remedy}")


def _of_ordered(structure: Structure, statistics: Statistics, remedy: str) -> bool:
    """Whether model and statistics are both of ordered variables. DataError where one is, or both are of different ones."""
    terms = [term for term in statistics.terms if isinstance(term, OrdinalTerm)]
    if structure.ordered is None and not terms:
        return False
    if structure.ordered is None or not terms:
        model, data = ("continuous variables", "ordered ones") if terms else ("ordered variables", "continuous ones")
        raise DataError(f"The statistics are of {data}, the model is of {model}. {remedy}")
    layout, cuts = terms[0].layout, np.shape(structure.ordered.thresholds.base)
    p, groups = np.shape(structure.between_only)[-1], cuts[-3]
    groups_of_data = 1 + max(block.group for block in terms[0].blocks)
    slopes = structure.slope_targets is not None
    if (
        max((*layout.outcomes, *layout.within_x, *layout.between_given)) >= p
        or max(layout.categories) != cuts[-1] + 1
        or groups_of_data != groups
        or slopes != bool(layout.slopes)
    ):
        raise DataError(f"The statistics are of another model, of other variables, categories or groups. {remedy}")
    return True


def as_theta(
    model: Model | Structure, theta: Any, what: str, *, name: str = "theta", lanes: bool = False, finite: bool = False
) -> Array:
    """theta as a float array (q,), with lanes also (B, q). From an array or list in the order of model.names, or from a mapping or
    pandas Series of names to values. finite: NaN and infinite values are refused.
    """
    labels: list = getattr(getattr(theta, "index", None), "tolist", list)()
    if labels and all(isinstance(label, str) for label in labels):
        theta = dict(zip(labels, theta.tolist(), strict=True))
    if isinstance(theta, Mapping):
        theta = _by_name(model, theta, what, name)
    structure = model.structure if is_labelled(model) else model
    q = np.shape(structure.basis)[-1]
    order = "one for each of model.names" if is_labelled(model) else "one for each column of its basis"
    if not hasattr(theta, "dtype") or isinstance(theta, np.ndarray) or not hasattr(theta, "shape"):
        theta = _as_array(theta, f"{name} must have {q} numbers, {order}, not {kind_of(theta)}.")
    if not (jnp.issubdtype(theta.dtype, jnp.floating) or jnp.issubdtype(theta.dtype, jnp.integer)):
        raise DataError(f"{name} must have {q} real numbers, {order}; its type is {theta.dtype}.")
    shape = np.shape(theta)
    if shape[-1:] != (q,) or len(shape) not in ((1, 2) if lanes else (1,)):
        batch = f" For many values of it use jax.vmap(lambda t: {what}(...))." if len(shape) == 2 and not lanes else ""
        raise DataError(f"{name} must have {q} elements, {order}; its shape is {shape}.{batch}")
    if finite and not isinstance(theta, jax.core.Tracer):
        _check_finite(model, np.asarray(theta), what, name)
    return theta if jnp.issubdtype(theta.dtype, jnp.floating) else theta.astype(float)


def _as_array(given: Any, message: str) -> Any:
    """An array of real numbers; a list may hold traced ones."""
    try:
        if any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(given)):
            return jnp.asarray(given)
        array = np.asarray(given)
        return (
            array if array.dtype.kind in "fiu" else array.astype(float) if array.dtype == object else _refuse(message)
        )
    except (TypeError, ValueError):
        raise DataError(message) from None


def _refuse(message: str) -> Any:
    raise DataError(message)


def _check_finite(model: Model | Structure, theta: np.ndarray, what: str, name: str) -> None:
    bad = np.flatnonzero(~np.isfinite(theta).reshape(-1, theta.shape[-1]).all(axis=0))
    if len(bad):
        where = listing([model.names[i] for i in bad] if is_labelled(model) else bad)
        raise DataError(
            f"{name} is NaN or infinite for {where}: {what} needs a value of every parameter. If it comes from a fit, check that "
            "the fit converged."
        )


def _by_name(model: Model | Structure, values: Mapping[Any, Any], what: str, name: str) -> Array:
    """theta (q,) from values by the names of model.names; further names that the model knows must agree with what follows."""
    if not is_labelled(model):
        raise ModelError(f"A bare Structure has no names: pass {name} to {what} as an array.")
    if absent := [n for n in model.names if n not in values]:
        raise DataError(f"{name} has no value for {listing(absent)}; it needs one for each of model.names.")
    shown = f"{name} must hold one number for each name."
    parts = [_as_array(values[n], shown) for n in model.names]
    if any(np.shape(part) for part in parts):
        raise DataError(shown)
    theta = _as_array(parts, shown)
    further = [n for n in values if n not in model.names]
    if not further:
        return theta
    known = model.parameters(theta)
    for n in further:
        if n not in known:
            raise DataError(f"{name} has a value for {n!r}, which is no free parameter.{nearest(n, known)}")
        if isinstance(theta, jax.core.Tracer):
            continue
        follows, given = float(known[n]), _as_array(values[n], shown)
        if np.shape(given) or not abs(float(given) - follows) <= ROUNDING * max(1.0, abs(follows)):
            raise DataError(
                f"{name} gives {n!r} the value {given}; by the model's constraints it is {follows:.6g}. Leave it out: it follows "
                "from the others."
            )
    return theta


def check_settings(solver: Any) -> None:
    if solver is not None and not isinstance(solver, Settings):
        raise ModelError(
            f"solver= takes the limits of a search, mlsem_jax.estimation.settings(numpy.float64, iterations=...), not "
            f"{kind_of(solver)}. Other algorithms are options of ml.sem (optim_method=)."
        )


def check_flag(name: str, value: Any) -> None:
    """ModelError for what is neither True nor False."""
    if not isinstance(value, (bool, np.bool_)):
        hint = f" Bind it before the transformation: functools.partial(function, {name}=True)."
        raise ModelError(
            f"{name} must be True or False, not {value if isinstance(value, (str, Real)) else kind_of(value)!s}."
            f"{hint if isinstance(value, jax.core.Tracer) else ''}"
        )


def check_whole(name: str, value: Any, least: int) -> None:
    """DataError for anything but a whole number from `least` on."""
    if isinstance(value, jax.core.Tracer):
        raise DataError(f"{name} decides shapes of arrays, so that it cannot be traced: pass a Python number.")
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral) or value < least:
        raise DataError(f"{name} must be a whole number of at least {least}, not {value!r}.")


def check_positive(name: str, value: Any, meant: str) -> None:
    """DataError for anything but a positive, finite number. meant: what it is, such as 'a budget in bytes'."""
    number = isinstance(value, Real) and not isinstance(value, (bool, np.bool_))
    if not number or not value > 0 or not math.isfinite(value):
        raise DataError(f"{name} must be {meant}: a positive number, not {value!r}.")


def check_progress(progress: Any) -> None:
    if not isinstance(progress, (bool, np.bool_)) and progress is not None and not callable(progress):
        raise DataError(f"progress must be True, False or a function of (done, total), not {progress!r}.")


def as_key(key: Any) -> Array:
    """A key of `jax.random` from itself, from the old kind (two 32-bit words), or from an integer."""
    if isinstance(key, Integral) and not isinstance(key, (bool, np.bool_)):
        if not -(2**63) <= int(key) < 2**63:
            raise DataError(f"key={key} is too large: an integer key has 64 bits at most.")
        return jax.random.key(int(key))
    typed = hasattr(key, "dtype") and jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key)
    old = hasattr(key, "dtype") and key.dtype == np.uint32 and np.ndim(key) >= 1
    axes = np.ndim(key) - (1 if old and not typed else 0)
    if not (typed or old) or axes:
        many = " These are several: choose one, or use jax.vmap." if (typed or old) and axes else ""
        shown = kind_of(key) if not isinstance(key, (Real, str)) else repr(key)
        raise DataError(
            f"key must be an integer, or one key of jax.random such as jax.random.key(1), not {shown}.{many}"
        )
    return key
