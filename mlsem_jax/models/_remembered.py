"""What follows from a specification alone is worked out once for it: a study fits one model to many data sets."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from mlsem_jax.models._specification import Specification

P = ParamSpec("P")
T = TypeVar("T")


def remembered(
    function: Callable[Concatenate[Specification, P], T],
) -> Callable[Concatenate[Specification, P], T]:
    """A function of a specification and of hashable arguments, whose results are kept with the specification for as long as that
    lives. Fits share them: nobody may change them.
    """

    @functools.wraps(function)
    def wrapped(specification: Specification, *args: P.args, **kwargs: P.kwargs) -> T:
        key: Any = (function, args, *kwargs.items())
        kept = specification.derived
        if key not in kept:
            kept[key] = function(specification, *args, **kwargs)
        return kept[key]

    return wrapped
