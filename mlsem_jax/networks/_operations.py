"""The functions behind the methods that `Fit` has for network models, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlsem_jax._fit import Fit
from mlsem_jax.networks import _edit as edits
from mlsem_jax.networks._fitting import finish, refit_model
from mlsem_jax.networks._indices import MIs, modification_indices
from mlsem_jax.networks._log import Log
from mlsem_jax.networks._model import model_of
from mlsem_jax.networks._modelsearch import modelsearch
from mlsem_jax.networks._parameters import getmatrix, parameters
from mlsem_jax.networks._pictures import CIplot, plot_network
from mlsem_jax.networks._prune import prune
from mlsem_jax.networks._stepup import stepup


def log(fit: Fit) -> Log:
    """The steps since the model was made."""
    return model_of(fit).log


def operators(fit: Fit) -> tuple[str, ...]:
    """The signs of elements that the tables of this model have."""
    return tuple(dict.fromkeys(matrix.operator for matrix in model_of(fit).layout.matrices.values()))


def _fitted(edit: Callable[..., Any]) -> Callable[..., Fit]:
    """An edit of models as one of fits: the changed model is estimated, starting from the estimates."""

    def edited(fit: Fit, *args: Any, **kwargs: Any) -> Fit:
        model = edit(model_of(fit), *args, **kwargs)
        return finish(model, refit_model(fit, model))

    return edited


def transmod(fit: Fit, **kinds: str) -> Fit:
    """The same model in another parametrisation: starting values are computed anew."""
    model = edits.transmod(model_of(fit), **kinds)
    return model.fit()


OPERATIONS: dict[str, Callable[..., Any]] = {
    "CIplot": CIplot,
    "MIs": MIs,
    "fixpar": _fitted(edits.fixpar),
    "freepar": _fitted(edits.freepar),
    "getmatrix": getmatrix,
    "groupequal": _fitted(edits.groupequal),
    "groupfree": _fitted(edits.groupfree),
    "log": log,
    "modelsearch": modelsearch,
    "modification_indices": modification_indices,
    "operators": operators,
    "parameters": parameters,
    "plot_network": plot_network,
    "prune": prune,
    "stepup": stepup,
    "transmod": transmod,
}
