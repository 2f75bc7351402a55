"""How factors were rotated, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsem_jax._errors import ModelError
from mlsem_jax.estimation import Estimation
from mlsem_jax.measurement import rotation_reports
from mlsem_jax.report._shown import as_table

if TYPE_CHECKING:
    import pandas as pd


def rotation_table(estimation: Estimation) -> pd.DataFrame:
    """One row a block, level and group."""
    import pandas as pd

    found = rotation_reports(estimation)
    if not found:
        raise ModelError("There is nothing to rotate: the model has no efa() block.")
    groups = estimation.model.build.specification.groups
    rows = [
        {
            "block": one.block.name,
            "level": one.block.level,
            "group": groups[one.block.group - 1] if groups else one.block.group,
            "factors": len(one.block.factors),
            "rotation": one.block.rotation.criterion,
            "criterion": one.rotated.value,
            "found": one.rotated.found,
            "starts": one.rotated.starts,
            "minima": one.rotated.minima,
        }
        for one in found
    ]
    return as_table(pd.DataFrame(rows))
