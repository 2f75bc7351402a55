"""Numbers that coefficients are written with: with their derivatives in closed form, or such as JAX traces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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

    @property
    def positive(self) -> bool:
        """Whether it can be divided by as a variance."""
        return bool(self.value > 0)

    def part_of(self, whole: Sloped) -> bool:
        """Whether it is a part of a variance, and not all of it."""
        return bool(0 <= self.value < whole.value)

    def times(self, factor: float) -> Sloped:
        return Sloped(factor * self.value, factor * self.slope)

    def inverse_of_one_plus_inverse(self) -> Sloped:
        """x / (1 + x), which is 1 / (1 + 1 / x) without the division by 0."""
        return Sloped(self.value / (1 + self.value), self.slope / (1 + self.value) ** 2)


@dataclass(frozen=True, eq=False)
class Traced:
    """A number that JAX traces. What depends on its size was decided at the estimates."""

    value: Any
    positive = True

    def __add__(self, other: Traced) -> Traced:
        return Traced(self.value + other.value)

    def __sub__(self, other: Traced) -> Traced:
        return Traced(self.value - other.value)

    def __mul__(self, other: Traced) -> Traced:
        return Traced(self.value * other.value)

    def __truediv__(self, other: Traced) -> Traced:
        return Traced(self.value / other.value)

    def part_of(self, whole: Traced) -> bool:
        return True

    def times(self, factor: float) -> Traced:
        return Traced(factor * self.value)

    def inverse_of_one_plus_inverse(self) -> Traced:
        return Traced(self.value / (1 + self.value))
