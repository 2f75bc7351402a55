"""Ways to a maximum: the rules of a step, and the loops that follow them, single and traced."""

from mlsem_jax.estimation.search._minimisers import search
from mlsem_jax.estimation.search._rescaled import Factor, RescaledProblem, factors_of, rescale, signs_at
from mlsem_jax.estimation.search._rules import is_done
from mlsem_jax.estimation.search._scoring import maximise
from mlsem_jax.estimation.search._sqp import maximise_constrained, promises_less
from mlsem_jax.estimation.search._traced_search import exact, resume, search_traced, secant_step, value_and_gradient
from mlsem_jax.estimation.search._traced_state import RUNNING, SearchState, Settings, scaled_inverse, settings, start
from mlsem_jax.estimation.search._trust_region import LAST, STEPS, search_in_trust_region

__all__ = [
    "Factor",
    "LAST",
    "RUNNING",
    "RescaledProblem",
    "STEPS",
    "SearchState",
    "Settings",
    "exact",
    "factors_of",
    "is_done",
    "maximise",
    "maximise_constrained",
    "promises_less",
    "rescale",
    "resume",
    "scaled_inverse",
    "search",
    "search_in_trust_region",
    "search_traced",
    "secant_step",
    "settings",
    "signs_at",
    "start",
    "value_and_gradient",
]
