"""Data sets that come with the package, for examples and tests."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import TYPE_CHECKING

from mlsem_jax.datasets._population import (
    ASSESSMENT_MODEL,
    ASSESSMENT_POPULATION,
    SCHOOLS_MODEL,
    SCHOOLS_POPULATION,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ASSESSMENT_MODEL",
    "ASSESSMENT_POPULATION",
    "SCHOOLS_MODEL",
    "SCHOOLS_POPULATION",
    "load_assessment",
    "load_schools",
]


def load_schools() -> pd.DataFrame:
    """Simulated test results of pupils in 100 schools: a two-level data set whose true values are known.

    One row a pupil. Columns: school (text id), math1..math3 and reading1..reading3 (test scores), ses (socio-economic status,
    standardized) and girl (0/1) of the pupil, public (0/1) and size (standardized) of the school. No value is missing.
    SCHOOLS_MODEL is the model that generated it, SCHOOLS_POPULATION its parameters.
    """
    import pandas as pd

    with as_file(files(__name__) / "schools.csv.gz") as path:
        return pd.read_csv(path)


def load_assessment() -> pd.DataFrame:
    """A simulated large-scale assessment in the manner of PISA: a sample of 150 schools and about 20 pupils of each.

    One row a pupil. Columns: school (text id), zone (stratum of two schools), w_pupil (weight of the pupil given the school),
    w_school (weight of the school), language (0/1), ses, interest1..interest3 (items), PV1MATH..PV5MATH (plausible values of the
    achievement in mathematics), r1..r80 (w_school in 80 balanced repeated replications by Fay's method with the factor 0.5).
    Large schools are more likely to be in the sample and achieve more; pupils of one language are drawn twice as often. No value
    is missing. ASSESSMENT_POPULATION holds the true values, ASSESSMENT_MODEL a model.
    """
    import pandas as pd

    with as_file(files(__name__) / "assessment.csv.gz") as path:
        return pd.read_csv(path)
