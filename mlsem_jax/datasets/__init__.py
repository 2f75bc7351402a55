"""Data sets that come with the package, for examples and tests."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import TYPE_CHECKING

from mlsem_jax.datasets._population import SCHOOLS_MODEL, SCHOOLS_POPULATION

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SCHOOLS_MODEL", "SCHOOLS_POPULATION", "load_schools"]


def load_schools() -> pd.DataFrame:
    """Simulated test results of pupils in 100 schools: a two-level data set whose true values are known.

    One row a pupil. Columns: school (text id), math1..math3 and reading1..reading3 (test scores), ses (socio-economic status,
    standardized) and girl (0/1) of the pupil, public (0/1) and size (standardized) of the school. No value is missing.
    SCHOOLS_MODEL is the model that generated it, SCHOOLS_POPULATION its parameters.
    """
    import pandas as pd

    with as_file(files(__name__) / "schools.csv.gz") as path:
        return pd.read_csv(path)
