"""Profile-likelihood intervals as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlsem_jax.inference import Profile
from mlsem_jax.report._shown import as_table

if TYPE_CHECKING:
    import pandas as pd


def profile_table(found: Profile) -> pd.DataFrame:
    """Estimate, standard error and limits, one row a quantity, at the first of the levels."""
    import pandas as pd

    columns = {"est": found.estimate, "se": found.se, "ci.lower": found.lower[:, 0], "ci.upper": found.upper[:, 0]}
    return as_table(pd.DataFrame(columns, index=pd.Index(found.names, name="parameter")))


def with_profile_limits(table: pd.DataFrame, found: Profile) -> pd.DataFrame:
    """A parameter table with the confidence limits of its free and `:=` rows from a profile of all quantities."""
    return with_limits(table, found.lower[:, 0], found.upper[:, 0])


def with_limits(table: pd.DataFrame, lower: np.ndarray, upper: np.ndarray) -> pd.DataFrame:
    """A parameter table with other confidence limits: of its free parameters in their order, then of its `:=` quantities."""
    table, free = table.copy(), int(table["free"].max())
    defined = (table["op"] == ":=").to_numpy()
    at = np.where(defined, free + np.cumsum(defined), table["free"]) - 1
    for column, limit in (("ci.lower", lower), ("ci.upper", upper)):
        table[column] = np.where(at >= 0, np.asarray(limit)[np.maximum(at, 0)], table[column])
    return table
