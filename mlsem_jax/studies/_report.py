"""A study as a record: one tidy table of all cells, and pictures with a panel for every condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsem_jax._errors import DataError, listing, nearest
from mlsem_jax.report import grid_plot
from mlsem_jax.studies._montecarlo_study import MonteCarlo

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Study:
    """A grid of simulation studies. conditions: of every cell, by column of the design; cells: a `MonteCarlo` each.

    `table()` and `rates()` lead with the columns of the design; the object prints how often fits converged and were rejected.
    """

    conditions: tuple[dict[str, Any], ...]
    cells: tuple[MonteCarlo, ...]

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def design(self) -> pd.DataFrame:
        """The conditions, a row a cell."""
        import pandas as pd

        return pd.DataFrame(list(self.conditions))

    def table(self) -> pd.DataFrame:
        """A row for every cell and quantity: the columns of the design, `parameter`, then those of `MonteCarlo.table`."""
        import pandas as pd

        parts = []
        for number, cell in enumerate(self.cells):
            found = cell.table().reset_index()
            parts.append(pd.concat([self._repeated(number, len(found)), found], axis=1))
        return pd.concat(parts, ignore_index=True)

    def rates(self) -> pd.DataFrame:
        """A row a cell: data sets, and the shares that converged, were improper and were rejected by the chi-square test at
        1 - level, each with its Monte-Carlo standard error.
        """
        import pandas as pd

        rows = []
        for conditions, cell in zip(self.conditions, self.cells, strict=True):
            found = cell.rates()
            row = dict(conditions) | {"datasets": len(cell)}
            for name, (rate, error) in zip(found.index, found.to_numpy(), strict=True):
                short = "rejected" if name.startswith("chi-square") else name
                row |= {short: rate, f"{short}.mcse": error}
            rows.append(row)
        return pd.DataFrame(rows)

    def draws(self) -> pd.DataFrame:
        """A row for every cell and data set: the columns of the design, then those of `MonteCarlo.draws`."""
        import pandas as pd

        parts = []
        for number, cell in enumerate(self.cells):
            found = cell.draws()
            parts.append(pd.concat([self._repeated(number, len(found)), found], axis=1))
        return pd.concat(parts, ignore_index=True)

    def _repeated(self, number: int, count: int) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame([self.conditions[number]] * count)

    def plot(
        self,
        what: str = "coverage",
        parameters: Sequence[str] | str | None = None,
        x: str | None = None,
        lines: str | None = None,
        rows: str | None = None,
    ) -> Any:
        """A column of the table, with two Monte-Carlo errors either side, over the conditions: a column of panels for every
        parameter (at most six), a row of panels for every value of `rows`, a line for every value of `lines`, over `x`.

        Conditions that are not named are chosen in the order of the design's columns that vary; one that is left over is an error.
        what: also "converged", "improper" or "rejected" of `rates()`. Returns the axes, an array (rows, columns).
        """
        table, names = self._pictured(what, parameters)
        used = self._axes_of(x, lines, rows)
        level = self.cells[0].level
        target = {
            "coverage": level,
            "se/sd": 1.0,
            "bias": 0.0,
            "rel.bias": 0.0,
            "rejected": 1 - level,
            "converged": 1.0,
        }
        return grid_plot(table, what, names, *used, target.get(what))

    def _pictured(self, what: str, parameters: Any) -> tuple[pd.DataFrame, list[str]]:
        rates = self.rates()
        if what in rates and f"{what}.mcse" in rates:
            return rates.assign(parameter=what), [what]
        table = self.table()
        if f"{what}.mcse" not in table:
            known = [c for c in (*table, *rates) if f"{c}.mcse" in table or f"{c}.mcse" in rates]
            raise DataError(f"There is no column {what!r} with a Monte-Carlo error: {listing(known, 20)}.")
        every = list(dict.fromkeys(table["parameter"]))
        chosen = [parameters] if isinstance(parameters, str) else list(parameters or every[:6])
        for name in chosen:
            if name not in every:
                raise DataError(
                    f"The study has no parameter {name!r}.{nearest(name, every) or ' It has ' + listing(every, 12)}"
                )
        return table, chosen

    def _axes_of(self, x: Any, lines: Any, rows: Any) -> tuple[str, str | None, str | None]:
        design = self.design
        varying = [name for name in design if len({str(value) for value in design[name]}) > 1]
        for name in (x, lines, rows):
            if name is not None and name not in design:
                raise DataError(
                    f"The design has no column {name!r}.{nearest(name, design) or ' It has ' + listing(design, 12)}"
                )
        left = [name for name in varying if name not in (x, lines, rows)]
        x = x or (left.pop(0) if left else next(iter(design)))
        lines = lines or (left.pop(0) if left else None)
        rows = rows or (left.pop(0) if left else None)
        if left:
            raise DataError(
                f"The picture has no place for {listing(left)}: it shows three conditions, by x=, lines= and rows=. Draw a part of "
                "the study, result.where(column=value)."
            )
        return x, lines, rows

    def where(self, **conditions: Any) -> Study:
        """The cells in which columns of the design have these values: `result.where(icc=0.1)`."""
        design = self.design
        keep = np.ones(len(self), bool)
        for name, value in conditions.items():
            if name not in design:
                raise DataError(
                    f"The design has no column {name!r}.{nearest(name, design) or ' It has ' + listing(design, 12)}"
                )
            same = np.array([str(one) == str(value) for one in design[name]])
            if not same.any():
                raise DataError(f"No cell has {name}={value!r}; there are {listing(dict.fromkeys(design[name]), 12)}.")
            keep &= same
        if not keep.any():
            raise DataError("No cell has all of these values.")
        at = np.flatnonzero(keep)
        return Study(tuple(self.conditions[i] for i in at), tuple(self.cells[i] for i in at))

    def __str__(self) -> str:
        count = sum(len(cell) for cell in self.cells)
        head = f"{len(self)} cells, {count} data sets (each share with its Monte-Carlo error)"
        return f"{head}\n{self.rates().round(4).to_string(index=False)}"

    __repr__ = __str__
