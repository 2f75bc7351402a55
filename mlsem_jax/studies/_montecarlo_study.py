"""A simulation study as a record: its summaries, each with its Monte-Carlo standard error, and its file on disk."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from mlsem_jax._block_files import Block, BlockFolder
from mlsem_jax._errors import DataError
from mlsem_jax._status import Status
from mlsem_jax.estimation import Model
from mlsem_jax.files import write_csv
from mlsem_jax.numerics import chi_square_tail, normal_quantile
from mlsem_jax.report import Tables, as_table, study_plot

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

CONVERGED = [int(code) for code in Status if code.converged]


@dataclass(frozen=True, eq=False)
class MonteCarlo:
    """A simulation study. names (r,): natural parameters, then `:=` quantities; true (r,); estimates, se (R, r), NaN where a data
    set was not fitted; chisq (R,), df; status (R,) codes; level of the intervals. ratio (R, r): where asked for, the
    likelihood-ratio statistic of every true value, 1 degree of freedom. `table()` summarises; the object prints it.
    """

    names: tuple[str, ...]
    true: np.ndarray
    estimates: np.ndarray
    se: np.ndarray
    chisq: np.ndarray
    df: int
    status: np.ndarray
    level: float = 0.95
    ratio: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.status)

    def table(self) -> pd.DataFrame:
        """One row a quantity: mean, median, bias, relative bias, sd, RMSE, SE/SD ratio, coverage of estimate +- z se, power
        (two-sided against 0), where asked for coverage of profile intervals; each with its Monte-Carlo standard error (Morris,
        White & Crowther 2019). Data sets that did not converge are left out; NaN is what the others are too few for.
        """
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of means of nothing
            return self._table()

    def _table(self) -> pd.DataFrame:
        import pandas as pd

        used = np.isfinite(self.se).all(axis=1)
        est, se, count = self.estimates[used], self.se[used], np.float64(used.sum())
        error = est - self.true
        sd, z = est.std(axis=0, ddof=1), normal_quantile(0.5 + self.level / 2)
        mse, average = (error**2).mean(axis=0), np.sqrt((se**2).mean(axis=0))
        rmse = np.sqrt(mse)
        relative = np.where(self.true != 0, error.mean(0) / self.true, np.nan)
        relative_error = np.where(self.true != 0, sd / np.sqrt(count) / np.abs(self.true), np.nan)
        ratio = average / sd
        spread = (se**2).var(axis=0, ddof=1) / (4 * count * average**4) + 1 / (2 * (count - 1))
        columns = {
            "true": self.true,
            "mean": est.mean(axis=0),
            **_medians(est),
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
        if self.ratio is not None:
            columns |= self._profile_coverage(self.ratio)
        return pd.DataFrame(columns, index=pd.Index(self.names, name="parameter"))

    def _profile_coverage(self, ratio: np.ndarray) -> dict[str, np.ndarray]:
        """Share of data sets whose profile interval holds the true value: those where it is not rejected."""
        tested = np.isfinite(ratio)
        count = tested.sum(axis=0)
        covered = (np.where(tested, ratio, np.inf) <= normal_quantile(0.5 + self.level / 2) ** 2).sum(axis=0)
        share = np.where(count > 0, covered / np.maximum(count, 1), np.nan)
        return {"coverage.profile": share, "coverage.profile.mcse": np.sqrt(share * (1 - share) / np.maximum(count, 1))}

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
        """One row a data set: estimates, then standard errors (`se.` in front), where asked for the likelihood-ratio statistics of
        the true values (`lr.`), chi-square and status.
        """
        import pandas as pd

        parts = {"": self.estimates, "se.": self.se} | ({} if self.ratio is None else {"lr.": self.ratio})
        columns = [f"{prefix}{name}" for prefix in parts for name in self.names]
        values = np.column_stack([*parts.values(), self.chisq, self.status])
        return pd.DataFrame(values, columns=[*columns, "chisq", "status"])

    def plot(self, what: str = "coverage", ax: Axes | None = None) -> Axes:
        """A column of the table by parameter, with two Monte-Carlo errors either side (needs matplotlib)."""
        table = self.table()
        if f"{what}.mcse" not in table:
            raise DataError(
                f"No column {what!r} with a Monte-Carlo error: {', '.join(c for c in table if c + '.mcse' in table)}."
            )
        target = {
            "coverage": self.level,
            "coverage.profile": self.level,
            "se/sd": 1.0,
            "bias": 0.0,
            "rel.bias": 0.0,
        }.get(what)
        return study_plot(table[what], table[f"{what}.mcse"], what, target, ax)

    def __str__(self) -> str:
        columns = ["true", "mean", "bias", "bias.mcse", "sd", "se/sd", "coverage", "coverage.mcse", "power"]
        shown = self.table()[columns + ([] if self.ratio is None else ["coverage.profile"])]
        return f"{len(self)} data sets\n{self.rates().round(4).to_string()}\n{shown.round(4).to_string()}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        tables = Tables({f"{len(self)} data sets": as_table(self.rates()), "parameters": as_table(self.table())})
        return tables._repr_html_()


def _medians(est: np.ndarray) -> dict[str, np.ndarray]:
    """Medians of estimates (R, r), and their Monte-Carlo errors by order statistics: half the distance of those that lie
    sqrt(R) / 2 ranks either side, whatever the distribution.
    """
    count = len(est)
    if not count:
        nothing = np.full(est.shape[1], np.nan)
        return {"median": nothing, "median.mcse": nothing}
    ranks = (count - 1) / 2 + np.array([-0.5, 0.5]) * np.sqrt(count)
    low, high = np.quantile(est, np.clip(ranks / max(count - 1, 1), 0, 1), axis=0)
    return {
        "median": np.median(est, axis=0),
        "median.mcse": (high - low) / 2 if count > 2 else np.full(est.shape[1], np.nan),
    }


def open_store(where: Any, model: Model, theta, sizes, key, chisq: bool, profile: bool, options: dict) -> Any:
    """The draws of a study on disk: a .csv or .parquet file, or a folder of blocks, with what says which study they belong to."""
    if not isinstance(where, (str, os.PathLike)):
        raise DataError(f"path must be the name of a .csv or .parquet file or of a folder, not {where!r}.")
    path = Path(where)
    if not path.parent.is_dir():
        raise DataError(f"path: there is no folder {str(path.parent)!r}. Make it first, or give another path.")
    if path.suffix not in ("", ".csv", ".parquet") and not path.is_dir():
        raise DataError(f"path must end in .csv or .parquet, or name a folder, not {path.name!r}.")
    names = tuple(model.parameters(theta))
    arrays = [np.asarray(leaf).tolist() for leaf in jax.tree.leaves((model.structure, model.held))]
    if model.labels.source.layout is not None:
        arrays.append(repr(model.labels.source.layout))
    text = repr((arrays, theta.tolist(), np.asarray(sizes).tolist(), sorted((k, repr(v)) for k, v in options.items())))
    study = {
        "names": list(names),
        "key": int(key) if isinstance(key, (int, np.integer)) else np.asarray(jax.random.key_data(key)).tolist(),
        "chisq": chisq,
        **({"profile": True} if profile else {}),
        "design": hashlib.sha256(text.encode()).hexdigest(),
    }
    if path.is_dir() or not path.suffix:
        return BlockFolder(path, study)
    return Store(path, names, study)


class Store:
    """Draws in one file, written as far as they are without a gap, with a sidecar that says what study they belong to."""

    def __init__(self, path: Path, names: tuple[str, ...], study: dict[str, Any]):
        self.path, self.about = path, path.with_suffix(path.suffix + ".json")
        self.names, self.study = names, study
        self.done: list[Block] = []
        self.early: dict[int, Block] = {}

    def read(self, total: int) -> list[tuple[int, Block]]:
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
        ratio = {"ratio": values[:, 2 * r : 3 * r]} if "profile" in self.study else {}
        self.done = [parts | ratio | {"status": values[:, -1].astype(int)}]
        return [(0, {name: x[:total] for name, x in self.done[0].items()})]

    def write(self, first: int, block: Block) -> None:
        self.early[first] = block
        reached, before = sum(len(part["status"]) for part in self.done), len(self.done)
        while reached in self.early:
            self.done.append(self.early.pop(reached))
            reached += len(self.done[-1]["status"])
        if len(self.done) > before:
            self._save()

    def _save(self) -> None:
        every = {name: np.concatenate([part[name] for part in self.done]) for name in self.done[0]}
        self.done = [every]
        estimates, se, chisq, status = (every[name] for name in ("estimates", "se", "chisq", "status"))
        true = np.zeros(len(self.names))
        table = MonteCarlo(self.names, true, estimates, se, chisq, 0, status, ratio=every.get("ratio")).draws()
        temporary = self.path.with_suffix(".part")
        if self.path.suffix == ".csv":
            write_csv(table, temporary)
        else:
            table.to_parquet(temporary)
        # a run that is stopped here leaves the old file whole
        self.about.write_text(json.dumps(self.study))
        temporary.replace(self.path)
