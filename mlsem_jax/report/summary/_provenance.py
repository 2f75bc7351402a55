"""How a fit was estimated: everything a careful reader would want to check, with what was dropped and what went wrong."""

from __future__ import annotations

import numpy as np

from mlsem_jax.inference import h1, implied, information
from mlsem_jax.report._results import Results
from mlsem_jax.report.summary._blocks import Block, Facts, Prose, small
from mlsem_jax.report.summary._limited import divisor, still_to_gain
from mlsem_jax.report.summary._model_and_fit import incomplete_rows


def provenance_blocks(results: Results) -> list[Block]:
    """The last part of a summary: the numbers behind 'converged', and every warning in words."""
    blocks: list[Block] = [Facts("How this was estimated", tuple(provenance(results)))]
    if any(value < 0 for _, value in unrestricted_eigenvalues(results)):
        blocks.append(Prose("Unrestricted model", (_INDEFINITE,)))
    if results.notes:
        blocks.append(Prose("Warnings", results.notes))
    return blocks


_INDEFINITE = (
    "The between covariance matrix of the unrestricted model (H1) is not positive definite at its maximum. That is where its "
    "likelihood is highest, and chi-square is taken from there. lavaan keeps this matrix positive semidefinite, so that its H1 "
    "lies lower and its chi-square is too small."
)


def provenance(results: Results) -> list[tuple[str, str]]:
    """Label and value of each; label widths suit the layout of the summary."""
    estimation, maximum = results.estimation, results.estimation.model.maximum
    rows = [
        divisor(results),
        ("Largest element of the gradient", small(float(np.abs(maximum.gradient).max(initial=0.0)))),
        (still_to_gain(results), small(maximum.decrement)),
        ("Smallest eigenvalue: information, scaled", small(smallest_information(results))),
    ]
    many = results.specification.ngroups > 1
    for level, name in zip(results.specification.numbers, ("within", "between"), strict=False):
        name = "" if results.specification.single else f" {name}"
        for g, value in enumerate(smallest_eigenvalues(results, level)):
            where = f" [{results.specification.groups[g]}]" if many else ""
            rows.append((f"Smallest eigenvalue: Sigma{name}{where}", small(value)))
    for block in results.specification.blocks:
        where = "" if results.specification.single else f", level {block.level}"
        where += f" [{results.specification.groups[block.group - 1]}]" if many else ""
        rows.append((f"Rotation of {block.name!r}{where}", block.rotation.criterion))
    for where, value in unrestricted_eigenvalues(results):
        if value < 0:
            rows.append((f"Smallest eigenvalue: Sigma between, H1{where}", small(value)))
    if estimation.h1 is not None:
        rows.append(("logl(H1) - logl(H0)", small(estimation.h1.value - estimation.model.value)))
    rows += [(f"Rows dropped: {reason}", str(count)) for reason, count in estimation.data.rows_dropped]
    if not estimation.data.rows_dropped:
        rows.append(("Rows dropped", "0"))
    if estimation.options.missing != "listwise":
        weighted = ", weighted" if estimation.data.weighted else ""
        rows.append((f"Rows with missing values, kept{weighted}", f"{incomplete_rows(results)[0]:.6g}"))
    if estimation.data.clustered:
        rows.append(("Clusters dropped", str(estimation.data.clusters_dropped)))
    return rows


def smallest_information(results: Results) -> float:
    """Smallest eigenvalue of the information at the estimates, scaled to unit diagonal so that units do not matter.

    Along equality constraints that hold at the estimates only; NaN where the information could not be computed.
    """
    model = results.estimation.model
    if not np.isfinite(model.value) or not len(model.theta):
        return np.nan
    kind = results.estimation.options.information
    matrix = information(model, results.estimation, "observed" if kind == "first.order" else kind)
    if not np.all(np.isfinite(matrix)):
        return np.nan
    if model.maximum.jacobian is not None and len(model.maximum.jacobian):
        from scipy.linalg import null_space  # slow to import, and few models have constraints

        z = null_space(model.maximum.jacobian)
        matrix = z.T @ matrix @ z
    diagonal = np.diag(matrix)
    scale = 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    return float(np.linalg.eigvalsh(matrix * np.outer(scale, scale))[0]) if len(matrix) else np.nan


def unrestricted_eigenvalues(results: Results) -> list[tuple[str, float]]:
    """Smallest eigenvalue of the between covariance matrix of the unrestricted model, by group, which is named where there are
    several; nothing where there is no such model or level.
    """
    specification, estimation = results.specification, results.estimation
    if estimation.h1 is None or specification.single or specification.ordered:
        return []
    names = [f" [{name}]" for name in specification.groups] or [""]
    blocks = [pair[1].cov for pair in h1(estimation)]
    return [
        (name, float(np.linalg.eigvalsh(block)[0]))
        for name, block in zip(names, blocks, strict=True)
        if len(block) and np.all(np.isfinite(block))
    ]


def smallest_eigenvalues(results: Results, level: int) -> list[float]:
    """Smallest eigenvalue of the implied covariance of a level's observed variables, by group."""
    blocks = [pair[level - 1].cov for pair in implied(results.estimation)]
    return [float(np.linalg.eigvalsh(b)[0]) if np.all(np.isfinite(b)) else np.nan for b in blocks if len(b)]
