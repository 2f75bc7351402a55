"""`ml.montecarlo`: simulation studies, every number with its Monte-Carlo standard error."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from mlsem_jax._batches import estimate_batch
from mlsem_jax._errors import DataError
from mlsem_jax._status import Status
from mlsem_jax.estimation import Model, Rows, scaled_inverse, simulate
from mlsem_jax.numerics import chi_square_tail, float64, normal_quantile
from mlsem_jax.report import study_plot
from mlsem_jax.statistics import Statistics, plan_sizes, traced_clusters, weighted_statistics

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

CONVERGED = [int(code) for code in Status if code.converged]


@dataclass(frozen=True, eq=False)
class MonteCarlo:
    """A simulation study. names (r,): natural parameters, then `:=` quantities; true (r,); estimates, se (R, r), NaN where a data
    set was not fitted; chisq (R,), df; status (R,) codes; level of the intervals. `table()` summarises; the object prints it.
    """

    names: tuple[str, ...]
    true: np.ndarray
    estimates: np.ndarray
    se: np.ndarray
    chisq: np.ndarray
    df: int
    status: np.ndarray
    level: float = 0.95

    def __len__(self) -> int:
        return len(self.status)

    def table(self) -> pd.DataFrame:
        """One row a quantity: mean, bias, relative bias, sd, RMSE, SE/SD ratio, coverage, power (two-sided against 0), each with
        its Monte-Carlo standard error (Morris, White & Crowther 2019). Data sets that did not converge are left out.
        """
        import pandas as pd

        used = np.isfinite(self.se).all(axis=1)
        est, se, count = self.estimates[used], self.se[used], int(used.sum())
        error = est - self.true
        sd, z = est.std(axis=0, ddof=1), normal_quantile(0.5 + self.level / 2)
        mse, average = (error**2).mean(axis=0), np.sqrt((se**2).mean(axis=0))
        rmse = np.sqrt(mse)
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = np.where(self.true != 0, error.mean(0) / self.true, np.nan)
            relative_error = np.where(self.true != 0, sd / np.sqrt(count) / np.abs(self.true), np.nan)
            ratio = average / sd
            spread = (se**2).var(axis=0, ddof=1) / (4 * count * average**4) + 1 / (2 * (count - 1))
        columns = {
            "true": self.true,
            "mean": est.mean(axis=0),
            "bias": error.mean(axis=0),
            "bias.mcse": sd / np.sqrt(count),
            "rel.bias": relative,
            "rel.bias.mcse": relative_error,
            "sd": sd,
            "sd.mcse": sd / np.sqrt(2 * (count - 1)),
            "rmse": rmse,
            "rmse.mcse": (error**2).std(axis=0, ddof=1) / np.sqrt(count) / (2 * rmse),
            "se/sd": ratio,
            "se/sd.mcse": ratio * np.sqrt(spread),
        }
        for name, hits in (("coverage", np.abs(error) <= z * se), ("power", np.abs(est) > z * se)):
            share = hits.mean(axis=0)
            columns |= {name: share, f"{name}.mcse": np.sqrt(share * (1 - share) / count)}
        return pd.DataFrame(columns, index=pd.Index(self.names, name="parameter"))

    def rates(self) -> pd.DataFrame:
        """Shares of data sets: converged, improper, and rejected by the chi-square test, each with its Monte-Carlo error."""
        import pandas as pd

        converged, tested = np.isin(self.status, CONVERGED), np.isfinite(self.chisq)
        rows = {
            "converged": (converged.mean(), len(self)),
            "improper": ((self.status == Status.IMPROPER).mean(), len(self)),
        }
        if tested.any() and self.df > 0:
            rejected = chi_square_tail(self.chisq[tested], self.df) < 1 - self.level
            rows["chi-square rejects"] = (rejected.mean(), int(tested.sum()))
        shares = {name: {"rate": p, "mcse": np.sqrt(p * (1 - p) / n)} for name, (p, n) in rows.items()}
        return pd.DataFrame.from_dict(shares, orient="index")

    def draws(self) -> pd.DataFrame:
        """One row a data set: estimates, then standard errors (`se.` in front), chi-square and status."""
        import pandas as pd

        columns = [*self.names, *(f"se.{name}" for name in self.names), "chisq", "status"]
        values = np.column_stack([self.estimates, self.se, self.chisq, self.status])
        return pd.DataFrame(values, columns=columns)

    def plot(self, what: str = "coverage", ax: Axes | None = None) -> Axes:
        """A column of the table by parameter, with two Monte-Carlo errors either side (needs matplotlib)."""
        table = self.table()
        if f"{what}.mcse" not in table:
            raise DataError(
                f"No column {what!r} with a Monte-Carlo error: {', '.join(c for c in table if c + '.mcse' in table)}."
            )
        target = {"coverage": self.level, "se/sd": 1.0, "bias": 0.0, "rel.bias": 0.0}.get(what)
        return study_plot(table[what], table[f"{what}.mcse"], what, target, ax)

    def __str__(self) -> str:
        shown = self.table()[["true", "mean", "bias", "bias.mcse", "sd", "se/sd", "coverage", "coverage.mcse", "power"]]
        return f"{len(self)} data sets\n{self.rates().round(4).to_string()}\n{shown.round(4).to_string()}"

    __repr__ = __str__


@float64
def montecarlo(
    model: Model,
    theta: Any,
    cluster_sizes: Sequence[int] | np.ndarray,
    n_datasets: int = 1000,
    key: Any = 0,
    *,
    chisq: bool = True,
    level: float = 0.95,
    path: str | Path | None = None,
    chunk: int = 2000,
    progress: bool | Callable[[int, int], None] = False,
    **options: Any,
) -> MonteCarlo:
    """Simulate data sets from a model, fit it to each, and summarise.

    **Arguments:**

    - `model`, `theta`, `cluster_sizes`, `n_datasets`, `key`, `options`: as for [`mlsem_jax.simulate`][] (`group`, `distribution`,
      `freedom`; statistics are drawn directly unless an option asks for rows).
    - `chisq`: also fit the unrestricted model, for the rejection rate of the chi-square test at 1 - `level`.
    - `path`: a CSV or Parquet file that is written after every `chunk` data sets. If it exists, the study goes on where it ended.

    **Returns:** a `MonteCarlo`: `table()`, `rates()`, `draws()`, `plot()`.
    """
    theta = np.asarray(theta, float)
    store = None if path is None else _Store(Path(path), model, theta, cluster_sizes, key, chisq, options)
    done = [] if store is None else store.read()
    count = sum(len(part["status"]) for part in done)
    while count < n_datasets:
        now = min(chunk, n_datasets - count)
        done.append(_run(model, theta, cluster_sizes, now, key, count, chisq, options))
        count += now
        if store is not None:
            store.write(done)
        if progress:
            _report(progress, count, n_datasets)
    every = {name: np.concatenate([part[name] for part in done])[:n_datasets] for name in done[0]}
    names = tuple(model.parameters(theta))
    true = np.asarray(_quantities(model, jnp.asarray(theta)[None], jnp.eye(len(theta))[None])[0][0])
    return MonteCarlo(names, true, df=model.df if chisq else 0, level=level, **every)


def _run(model, theta, sizes, count, key, first, chisq, options) -> dict[str, np.ndarray]:
    """Data sets number first, first + 1, ... simulated and fitted."""
    rows = bool(options.keys() - {"group"})
    drawn = simulate(model, theta, key, sizes, count, first=first, rows=rows, **options)
    stats = _of_rows(drawn, model) if isinstance(drawn, Rows) else drawn
    end = estimate_batch(model, stats, theta0=theta, chisq=chisq)
    values, se = (np.array(x) for x in _quantities(model, jnp.asarray(end.theta), jnp.asarray(end.information)))
    bad = ~np.isin(end.status, CONVERGED)
    values[bad], se[bad] = np.nan, np.nan
    chi = np.full(count, np.nan) if end.chisq is None else end.chisq
    return {"estimates": values, "se": se, "chisq": chi, "status": end.status}


@jax.jit
def _quantities(model: Model, theta, information):
    """Values and standard errors (B, r) of natural parameters and `:=` quantities."""

    def one(theta, information):
        vcov = scaled_inverse(information)[0]
        values, se = model.parameters(theta), model.standard_errors(theta, vcov)
        return jnp.stack([jnp.asarray(v) for v in values.values()]), jnp.stack(list(se.values()))

    return jax.vmap(one)(theta, information)


def _of_rows(rows: Rows, model: Model) -> Statistics:
    """Statistics of every simulated data set."""
    if np.isnan(rows.values).any():
        raise DataError(
            "ml.montecarlo fits complete data; for data with missing values loop over ml.simulate(..., rows=True)."
        )
    size = np.bincount(rows.cluster)
    plan = plan_sizes(size, rows.group, model.labels.specification.ngroups)
    return jax.tree.map(
        np.asarray, _reduce(jnp.asarray(rows.values), jnp.asarray(rows.cluster), size, rows.group, plan)
    )


@jax.jit
def _reduce(values, cluster, size, group, plan):
    def one(rows):
        return weighted_statistics(traced_clusters(rows, cluster, group, size), plan, jnp.ones(len(size)))

    return jax.lax.map(one, values, batch_size=64)


def _report(progress: Any, done: int, total: int) -> None:
    if callable(progress):
        progress(done, total)
    else:
        print(f"\r{done}/{total} data sets", end="\n" if done >= total else "", flush=True)


class _Store:
    """Draws on disk, with a sidecar that says what study they belong to."""

    def __init__(self, path: Path, model: Model, theta, sizes, key, chisq: bool, options: dict):
        if path.suffix not in (".csv", ".parquet"):
            raise DataError(f"path must end in .csv or .parquet, not {path.name!r}.")
        self.path, self.about = path, path.with_suffix(path.suffix + ".json")
        self.names = tuple(model.parameters(theta))
        words = key if isinstance(key, (int, np.integer)) else np.asarray(jax.random.key_data(key)).tolist()
        arrays = [np.asarray(leaf).tolist() for leaf in jax.tree.leaves((model.structure, model.held))]
        text = repr(
            (arrays, theta.tolist(), np.asarray(sizes).tolist(), sorted((k, repr(v)) for k, v in options.items()))
        )
        self.study = {
            "names": list(self.names),
            "key": words if isinstance(words, list) else int(words),
            "chisq": chisq,
            "design": hashlib.sha256(text.encode()).hexdigest(),
        }

    def read(self) -> list[dict[str, np.ndarray]]:
        import pandas as pd

        if not self.path.exists():
            return []
        if not self.about.exists() or json.loads(self.about.read_text()) != self.study:
            raise DataError(
                f"{self.path} holds another study (model, theta, cluster sizes, key or options differ). Give another path, or "
                "delete it."
            )
        table = pd.read_csv(self.path) if self.path.suffix == ".csv" else pd.read_parquet(self.path)
        values, r = table.to_numpy(float), len(self.names)
        parts = {"estimates": values[:, :r], "se": values[:, r : 2 * r], "chisq": values[:, -2]}
        return [parts | {"status": values[:, -1].astype(int)}]

    def write(self, done: list[dict[str, np.ndarray]]) -> None:
        every = {name: np.concatenate([part[name] for part in done]) for name in done[0]}
        estimates, se, chisq, status = (every[name] for name in ("estimates", "se", "chisq", "status"))
        table = MonteCarlo(self.names, np.zeros(len(self.names)), estimates, se, chisq, 0, status).draws()
        temporary = self.path.with_suffix(".part")
        if self.path.suffix == ".csv":
            table.to_csv(temporary, index=False)
        else:
            table.to_parquet(temporary)
        # a run that is stopped here leaves the old file whole
        self.about.write_text(json.dumps(self.study))
        temporary.replace(self.path)
