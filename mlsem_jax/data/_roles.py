"""Which variable plays which part at which level, and the checks that need the names alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlsem_jax._errors import DataError, listing, nearest


@dataclass(frozen=True)
class Roles:
    """Observed variables by level, and those among them whose moments are held at the data's (fixed covariates). single: the
    model has one level, and messages do not speak of levels. own: the roles in each group, where groups differ in their variables.
    """

    within: tuple[str, ...]
    between: tuple[str, ...]
    covariates_within: tuple[str, ...] = ()
    covariates_between: tuple[str, ...] = ()
    single: bool = False
    own: tuple[Roles, ...] = ()

    def of_group(self, code: int) -> Roles:
        """The roles in a group, counted from 0."""
        return self.own[code] if self.own else self

    @property
    def absent(self) -> np.ndarray | None:
        """(G, p) True for variables that a group does not have; None where all groups have all."""
        if not self.own:
            return None
        return np.array([[name not in one.variables for name in self.variables] for one in self.own], dtype=bool)

    @property
    def needed(self) -> tuple[str, ...]:
        """The variables that some group has: rows to be predicted need not be of all groups."""
        return tuple(v for v in self.variables if not self.own or any(v in one.variables for one in self.own))

    @property
    def variables(self) -> tuple[str, ...]:
        """All p variables: those of level 1, then the between-only ones."""
        return self.within + tuple(name for name in self.between if name not in self.within)

    @property
    def between_only(self) -> np.ndarray:
        """(p,) True for variables of level 2 alone."""
        return np.arange(len(self.variables)) >= len(self.within)

    @property
    def both(self) -> np.ndarray:
        """(p,) True for variables of both levels."""
        return np.array([name in self.within and name in self.between for name in self.variables], dtype=bool)

    @property
    def conditioning(self) -> np.ndarray:
        """(p,) True where a missing value makes the row unusable: fixed covariates of level 1, and between-only ones."""
        covariates = {*self.covariates_within, *(name for name in self.covariates_between if name not in self.within)}
        return np.array([name in covariates for name in self.variables], dtype=bool)

    def level(self, name: str) -> str:
        """Where the variable stands, in words."""
        if name not in self.within:
            return "level 2"
        return "levels 1 and 2" if name in self.between else "level 1"

    def at(self, name: str) -> str:
        """Where the variable stands, as it follows upon its name in a message: " at level 1"; "" in a model of one level."""
        return "" if self.single else f" at {self.level(name)}"

    def placed(self, name: str) -> str:
        """The variable in a message: "'y1' at level 1"; "'y1'" in a model of one level."""
        return f"{name!r}{self.at(name)}"


def check_names(roles: Roles, known: Sequence[str], cluster: str | None, group: str | None) -> None:
    """Every variable is a column, and none is the cluster or the group."""
    if not roles.variables:
        raise DataError("The model has no observed variable.")
    unknown = [name for name in roles.needed if name not in known]
    if len(unknown) == 1:
        hint = nearest(unknown[0], known) or f" The columns are {listing(known, 12)}."
        raise DataError(f"Variable {roles.placed(unknown[0])} is not in the data.{hint}")
    if unknown:
        shown = listing((f"{roles.placed(name)}{nearest(name, known, 1)}" for name in unknown), 5)
        raise DataError(
            f"{len(unknown)} variables of the model are not in the data: {shown.rstrip('.')}. "
            f"The columns are {listing(known, 12)}."
        )
    for name, part in ((cluster, "cluster"), (group, "grouping")):
        if name in roles.variables:
            raise DataError(
                f"{name!r} is the {part} variable and cannot also be a model variable{roles.at(str(name))}. "
                + (
                    "Its values are ids, not measurements."
                    if part == "cluster"
                    else "It is constant within each group."
                )
            )
    if cluster == group and cluster is not None:
        raise DataError(f"{cluster!r} is both cluster= and group=; a group holds several clusters.")
