"""A number with so many decimals, as tables and summaries show it."""

from __future__ import annotations

# what is this near to zero is shown as 0.000, not as -0.000: a variance on its bound, a residual of a saturated part
ROUNDING = 1e-9


def decimal(value: float, digits: int) -> str:
    """The number with `digits` decimals."""
    return f"{value if not abs(value) < ROUNDING else 0.0:.{digits}f}"
