"""A number with its derivatives, so that a coefficient is written as its formula and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Sloped:
    """value, and slope (k,): its derivatives in the parameters."""

    value: float
    slope: np.ndarray

    def __add__(self, other: Sloped) -> Sloped:
        return Sloped(self.value + other.value, self.slope + other.slope)

    def __sub__(self, other: Sloped) -> Sloped:
        return Sloped(self.value - other.value, self.slope - other.slope)

    def __mul__(self, other: Sloped) -> Sloped:
        return Sloped(self.value * other.value, self.value * other.slope + other.value * self.slope)

    def __truediv__(self, other: Sloped) -> Sloped:
        ratio = self.value / other.value
        return Sloped(ratio, (self.slope - ratio * other.slope) / other.value)

    def times(self, factor: float) -> Sloped:
        return Sloped(factor * self.value, factor * self.slope)

    def inverse_of_one_plus_inverse(self) -> Sloped:
        """x / (1 + x), which is 1 / (1 + 1 / x) without the division by 0."""
        return Sloped(self.value / (1 + self.value), self.slope / (1 + self.value) ** 2)
