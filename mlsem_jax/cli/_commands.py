"""The commands of `mlsem`: what each takes and does. A command returns whether everything went to its end."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsem_jax.cli._completion import COMPLETION
from mlsem_jax.cli._data import data_arguments, read_data
from mlsem_jax.cli._design import design_arguments, design_options
from mlsem_jax.cli._named import named_arguments, named_options
from mlsem_jax.cli._network import NETWORK
from mlsem_jax.cli._population import POPULATION
from mlsem_jax.cli._shared import Command, CommandError, say, writable

if TYPE_CHECKING:
    import pandas as pd

    from mlsem_jax.fits import Fit, PooledFit


def _outputs(p: argparse.ArgumentParser) -> None:
    p.add_argument("--report", type=Path, metavar="FILE", help="write an HTML report with pictures")
    p.add_argument("--json", type=Path, metavar="FILE", help="save the fit (ml.load reads it)")
    p.add_argument("--csv", type=Path, metavar="FILE", help="write the table of estimates")
    p.add_argument("--quiet", "-q", action="store_true", help="no progress on stderr")


def _shown(p: argparse.ArgumentParser) -> None:
    p.add_argument("--standardized", action="store_true", help="show the standardized solution")
    p.add_argument("--ci", action="store_true", help="show confidence intervals")
    p.add_argument("--rsquare", action="store_true", help="show explained variances")
    p.add_argument("--modindices", action="store_true", help="show the largest modification indices")


def _fit_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("model", type=Path, help="model in lavaan syntax (text file), or a lavaan parameter table (.csv)")
    p.add_argument("data", type=Path, help="table: CSV, Parquet, Feather, Stata, SPSS, SAS or R file")
    p.add_argument(
        "--cluster", metavar="COLUMN", help="column that says which cluster a row is in (two levels need it)"
    )
    p.add_argument("--group", metavar="COLUMN", help="column of groups")
    p.add_argument(
        "--group-equal",
        nargs="+",
        action="extend",
        default=None,
        metavar="WHAT",
        help="loadings, intercepts, residuals, ...",
    )
    p.add_argument("--function", choices=("sem", "cfa", "growth", "lavaan"), default=None, help="whose defaults (sem)")
    p.add_argument(
        "--estimator", default=None, help="ML, MLR or MLF (ML; MLR for a model without 'level:' blocks with --cluster)"
    )
    p.add_argument("--missing", default="listwise", help="listwise or ml (listwise)")
    data_arguments(p)
    design_arguments(p)
    p.add_argument("--std-lv", action="store_true", help="latent variances at 1, all loadings free")
    p.add_argument("--random-x", action="store_true", help="estimate the moments of covariates (fixed_x=False)")
    p.add_argument("--orthogonal", action="store_true", help="no covariances of latent variables by default")
    p.add_argument("--bounds", default=None, help="pos.var keeps variances at or above zero")
    named_arguments(p)
    p.add_argument("--verbose", "-v", action="store_true", help="show the iterations")
    _shown(p)
    _outputs(p)


def _fit(arguments: argparse.Namespace) -> bool:
    import mlsem_jax as ml

    writable(arguments.report, arguments.json, arguments.csv, read=(arguments.model, arguments.data))
    model, function = _read_model(arguments)
    data = read_data(arguments)
    say(arguments, "fitting (the first of its kind takes longer) ...")
    options: dict[str, Any] = {
        "estimator": arguments.estimator,
        "missing": arguments.missing,
        "std_lv": arguments.std_lv or None,
        "fixed_x": False if arguments.random_x else None,
        "orthogonal": arguments.orthogonal or None,
        "bounds": arguments.bounds,
        "group_equal": arguments.group_equal,
        "verbose": arguments.verbose,
        **design_options(arguments),
    }
    options |= named_options(arguments, options)
    start = time.perf_counter()
    given = {name: value for name, value in options.items() if value is not None}
    fit = getattr(ml, function)(model, data, cluster=arguments.cluster, group=arguments.group, **given)
    if "plausible_values" in given:
        say(arguments, f"{fit.nimputations} fits pooled ({time.perf_counter() - start:.1f} s)")
        return _show_pooled(arguments, fit)
    say(arguments, f"{fit.status} ({fit.iterations} iterations, {time.perf_counter() - start:.1f} s)")
    return _show(arguments, fit)


def _show_pooled(arguments: argparse.Namespace, fit: PooledFit) -> bool:
    shown = {name: getattr(arguments, name) for name in ("standardized", "ci", "rsquare")}
    print(fit.summary(fit_measures=True, **shown), flush=True)
    _write_estimates(arguments, fit, fit.converged)
    return fit.converged


def _write_estimates(arguments: argparse.Namespace, fit: Fit | PooledFit, standardized: bool) -> None:
    if arguments.csv:
        from mlsem_jax.files import write_csv

        write_csv(fit.parameter_estimates(standardized=standardized), arguments.csv)
        say(arguments, f"estimates written to {arguments.csv}")


_ORDER = "The model comes first, then the data: mlsem fit MODEL DATA."


def _read_model(arguments: argparse.Namespace) -> tuple[str, str]:
    """The model text and the function to fit it with; a parameter table holds the whole model."""
    import mlsem_jax as ml

    if not arguments.model.exists():
        raise CommandError(f"There is no file {arguments.model}.")
    if arguments.model.is_dir():
        raise CommandError(f"{arguments.model} is a folder; a model is a text file.")
    if arguments.model.suffix.lower() == ".csv":
        try:
            return ml.read_partable(arguments.model), arguments.function or "lavaan"
        except ValueError as error:
            raise CommandError(f"{error} {_ORDER}") from None
    try:
        text = arguments.model.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise CommandError(f"{arguments.model} holds no text in UTF-8. {_ORDER}") from None
    return text, arguments.function or "sem"


def _show(arguments: argparse.Namespace, fit: Fit) -> bool:
    summary = fit.summary(
        fit_measures=True,
        standardized=arguments.standardized,
        ci=arguments.ci,
        rsquare=arguments.rsquare,
        modindices=arguments.modindices,
    )
    try:
        print(summary, flush=True)
    except BrokenPipeError:  # the reader, such as `head`, has had enough; the files are still wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if arguments.json:
        say(arguments, f"fit saved in {fit.save(arguments.json)}")
    _write_estimates(arguments, fit, fit.converged)
    if arguments.report:
        say(arguments, "drawing the report ...")
        say(arguments, f"report written to {fit.report(arguments.report)}")
    return fit.converged


def _demo_arguments(p: argparse.ArgumentParser) -> None:
    _shown(p)
    _outputs(p)


def _demo(arguments: argparse.Namespace) -> bool:
    import mlsem_jax as ml
    from mlsem_jax.datasets import SCHOOLS_MODEL

    writable(arguments.report, arguments.json, arguments.csv)
    data: pd.DataFrame = ml.datasets.load_schools()
    say(arguments, f"{len(data)} pupils in {data.school.nunique()} schools, and this model:\n{SCHOOLS_MODEL}")
    return _show(arguments, ml.sem(SCHOOLS_MODEL, data, cluster="school"))


COMMANDS = (
    Command("fit", "Fit a model of two levels, or of one, to a file of data.", _fit_arguments, _fit),
    *NETWORK,
    *POPULATION,
    Command("demo", "Fit a model to the data that come with the package.", _demo_arguments, _demo),
    *COMPLETION,
)
