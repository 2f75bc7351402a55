"""What all pictures share: the lazy import of matplotlib, colours that colour-blind readers can tell apart, axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlsem_jax._arguments import Refused, Rule
from mlsem_jax._errors import ModelError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mlsem_jax.models import Specification


def _axes(value: Any) -> Any:
    if isinstance(value, type) or not (hasattr(value, "set_xlim") and hasattr(value, "figure")):
        raise Refused()
    return value


AXES = Rule("Axes of matplotlib, as from plt.subplots()", _axes)
# Okabe & Ito's palette
BLUE, ORANGE, GREEN, GREY, INK = "#0072B2", "#D55E00", "#009E73", "#767676", "#1a1a1a"
DIVERGING = "PuOr_r"


def check_level(specification: Specification, level: int) -> None:
    """ModelError for a level that a model of one level does not have."""
    if specification.single and level != 1:
        raise ModelError(f"The model has one level: there is no picture of level {level}. Leave level= out.")


def new_axes(ax: Axes | None, width: float, height: float) -> Axes:
    """The axes given, or those of a new figure of this size in inches."""
    if ax is not None:
        return ax
    pyplot = require_pyplot()
    return pyplot.subplots(figsize=(width, height), layout="constrained")[1]


def require_pyplot() -> Any:
    """matplotlib.pyplot, or an error that says how to install it."""
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError("Pictures need matplotlib: pip install 'mlsem_jax[plots]'.") from None
    return pyplot


def quiet(ax: Axes, keep: tuple[str, ...] = ("left", "bottom")) -> None:
    """Take the spines away that carry nothing."""
    for side, spine in ax.spines.items():
        spine.set_visible(side in keep)
    ax.tick_params(length=3, labelsize=8)
