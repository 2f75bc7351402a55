"""What a fit was asked for, so that it may be asked again with changes."""

from __future__ import annotations

import re
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
        default, no clusters and no groups); `add`, lines that a model without blocks has more.
        """
        if (lines := changes.pop("add", None)) is not None:
            changes["model"] = _with_lines(self.model if changes.get("model") is None else changes["model"], lines)
        kept = [name for name in ("model", "data") if changes.get(name) is None]
        own = {name: value for name, value in changes.items() if name in _OWN and name not in kept}
        options = self.options | {name: value for name, value in changes.items() if name not in _OWN}
        return self.again(replace(self, **own, options=options))


def _with_lines(model: Any, lines: Any) -> str:
    """A model text with more lines; of one with blocks it is not known which of them they belong to."""
    if not isinstance(lines, str):
        raise ModelError(f"add= is a text in model syntax, such as 'y1 ~~ y2', not {lines!r}.")
    if not isinstance(model, str) or re.search(r"^\s*(level|group)\s*:", f"{model}\n{lines}", re.I | re.M):
        raise ModelError(
            "add= puts lines at the end of a model text without level and group blocks. Write the text with them in their block: "
            "fit.update(text). fit.score_test(add=...) tests them without fitting."
        )
    return f"{model}\n{lines}"


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
