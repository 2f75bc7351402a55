"""What a fit was asked for, so that it may be asked again with changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from mlsem_jax._errors import ModelError

# arguments that have a name of their own, beside the options
_OWN = ("model", "data", "cluster", "group")


@dataclass(frozen=True, eq=False)
class Origin:
    """The arguments of a call; again: what makes a fit of them; adapt: as in `fit_text`. Kept with the fit, not saved with it."""

    again: Callable[[Origin], Any]
    function: str
    adapt: Callable[[Any], Any] | None
    model: Any
    data: Any
    cluster: str | None
    group: str | None
    options: dict[str, Any]

    def updated(self, changes: dict[str, Any]) -> Any:
        """The fit of the same call with changes: `model`, `data` (None: as they were), `cluster`, `group`, or options (None: the
        default, no clusters and no groups).
        """
        kept = [name for name in ("model", "data") if changes.get(name) is None]
        own = {name: value for name, value in changes.items() if name in _OWN and name not in kept}
        options = self.options | {name: value for name, value in changes.items() if name not in _OWN}
        return self.again(replace(self, **own, options=options))


def refuse_update(function: str, network: bool) -> ModelError:
    """What to say of fits that do not know their call."""
    if network:
        return ModelError(
            "update() is of models written as text; this fit has fixpar(), freepar(), groupequal(), groupfree() and transmod(), "
            "which fit again."
        )
    return ModelError(
        f"This fit does not hold the data that it was made of (a saved fit, or a part of another): call ml.{function}() again."
    )
