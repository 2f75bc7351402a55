"""The commands of `mlsem`: what each takes and does. A command returns whether everything went to its end."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsem_jax.cli._design import design_arguments, design_options

if TYPE_CHECKING:
    import pandas as pd

    from mlsem_jax._fit import Fit


class CommandError(Exception):
    """A command that cannot be carried out as given."""


@dataclass(frozen=True)
class Command:
    """arguments adds the options to a parser; run carries the command out and returns whether a maximum was reached."""

    name: str
    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], bool]


def number(least: int, most: int = 10**7) -> Callable[[str], int]:
    """The type of an option that takes a whole number."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value} is not a number from {least} to {most}")
        return value

    return read


def say(arguments: argparse.Namespace, what: str) -> None:
    """Progress, on stderr, so that stdout holds results only."""
    if not arguments.quiet:
        print(f"mlsem: {what}", file=sys.stderr, flush=True)


def note(what: str) -> None:
    """What the user should know of how the command was understood; --quiet does not silence it."""
    print(f"mlsem: note: {what}", file=sys.stderr, flush=True)


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
    p.add_argument(
        "--na",
        nargs="+",
        action="extend",
        default=[],
        metavar="CODE",
        help="codes of missing values in the data, such as -99",
    )
    p.add_argument(
        "--decimal",
        choices=(".", ","),
        help="the decimal sign of a file of text, where it holds numbers such as 2,322 (found from the columns)",
    )
    design_arguments(p)
    p.add_argument("--std-lv", action="store_true", help="latent variances at 1, all loadings free")
    p.add_argument("--random-x", action="store_true", help="estimate the moments of covariates (fixed_x=False)")
    p.add_argument("--orthogonal", action="store_true", help="no covariances of latent variables by default")
    p.add_argument("--bounds", default=None, help="pos.var keeps variances at or above zero")
    p.add_argument("--verbose", "-v", action="store_true", help="show the iterations")
    _shown(p)
    _outputs(p)


def _writable(*paths: Path | None, read: Sequence[Path] = ()) -> None:
    """The folders of the files to be written are there, and no file that is read is one of them: said before an estimation."""
    for path in paths:
        if path is not None and path.resolve() in [other.resolve() for other in read]:
            raise CommandError(f"{path} is read by this command; name another file to write to.")
        if path is not None and path.is_dir():
            raise CommandError(f"{path} is a folder; name the file to write in it.")
        if path is not None and not path.parent.is_dir():
            raise CommandError(f"There is no folder {path.parent} to write {path.name} to.")


def _fit(arguments: argparse.Namespace) -> bool:
    import mlsem_jax as ml
    from mlsem_jax.files import read_table

    _writable(arguments.report, arguments.json, arguments.csv, read=(arguments.model, arguments.data))
    model, function = _read_model(arguments)
    data = read_table(arguments.data, tuple(arguments.na), arguments.decimal, note)
    say(arguments, f"{len(data)} rows read from {arguments.data}; fitting (the first of its kind takes longer) ...")
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
    start = time.perf_counter()
    given = {name: value for name, value in options.items() if value is not None}
    fit = getattr(ml, function)(model, data, cluster=arguments.cluster, group=arguments.group, **given)
    say(arguments, f"{fit.status} ({fit.iterations} iterations, {time.perf_counter() - start:.1f} s)")
    return _show(arguments, fit)


def _read_model(arguments: argparse.Namespace) -> tuple[str, str]:
    """The model text and the function to fit it with; a parameter table holds the whole model."""
    import mlsem_jax as ml

    if not arguments.model.exists():
        raise CommandError(f"There is no file {arguments.model}.")
    if arguments.model.is_dir():
        raise CommandError(f"{arguments.model} is a folder; a model is a text file.")
    if arguments.model.suffix.lower() == ".csv":
        return ml.read_partable(arguments.model), arguments.function or "lavaan"
    try:
        text = arguments.model.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        told = f"{arguments.model} holds no text in UTF-8. The model comes first, then the data: mlsem fit MODEL DATA."
        raise CommandError(told) from None
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
    if arguments.csv:
        from mlsem_jax.files import write_csv

        write_csv(fit.parameter_estimates(standardized=fit.converged), arguments.csv)
        say(arguments, f"estimates written to {arguments.csv}")
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

    _writable(arguments.report, arguments.json, arguments.csv)
    data: pd.DataFrame = ml.datasets.load_schools()
    say(arguments, f"{len(data)} pupils in {data.school.nunique()} schools, and this model:\n{SCHOOLS_MODEL}")
    return _show(arguments, ml.sem(SCHOOLS_MODEL, data, cluster="school"))


def _design_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "fit", type=Path, help="a saved fit (mlsem fit ... --json FILE): its estimates are the population values"
    )
    p.add_argument(
        "--clusters", type=number(2), default=None, metavar="J", help="number of clusters (as in the fit's data)"
    )
    p.add_argument("--size", type=number(1), default=None, metavar="N", help="rows in each cluster (with --clusters)")
    p.add_argument("--seed", type=number(-(2**63), 2**63 - 1), default=1, help="of the random numbers (1)")
    p.add_argument("--quiet", "-q", action="store_true", help="no progress on stderr")


def _population(arguments: argparse.Namespace) -> tuple[Any, Any, list[int], list[int]]:
    """The model and values of a saved fit, and the design: cluster sizes and their groups (from 0)."""
    import mlsem_jax as ml
    from mlsem_jax.estimation import Source, make_model

    if not arguments.fit.is_file():
        raise CommandError(f"There is no file {arguments.fit}.")
    fit = ml.load(arguments.fit)
    data, options = fit.estimation.data, fit.estimation.options
    if not fit.converged:
        raise CommandError(f"{arguments.fit} holds no maximum: {fit.status}")
    source = Source(data.cluster_name, data.group_name if fit.specification.groups else None, options.missing)
    model = make_model(fit.specification, fit.estimation.reduction, source)
    if (arguments.clusters is None) != (arguments.size is None):
        raise CommandError("--clusters and --size belong together; without both, the design is that of the fit's data.")
    if arguments.clusters is None:
        own, group = data.design
        return model, fit.estimation.model.theta, own.tolist(), group.tolist()
    if arguments.clusters * arguments.size > _MOST_ROWS:
        raise CommandError(
            f"{arguments.clusters} clusters of {arguments.size} are more than {_MOST_ROWS:,} rows; ask for fewer --clusters, or a "
            "smaller --size."
        )
    groups = fit.specification.ngroups
    sizes = [arguments.size] * arguments.clusters
    return (
        model,
        fit.estimation.model.theta,
        sizes,
        [j * groups // arguments.clusters for j in range(arguments.clusters)],
    )


def _design(model: Any, sizes: list[int]) -> str:
    """The size of a data set in words."""
    single = model.labels.specification.single
    return f"{sum(sizes)} rows" + ("" if single else f" in {len(sizes)} clusters")


def _simulate_arguments(p: argparse.ArgumentParser) -> None:
    _design_arguments(p)
    p.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="CSV file; with --datasets, FILE_1, FILE_2, ..."
    )
    p.add_argument("--datasets", type=number(1), default=1, metavar="N", help="how many data sets (1)")


def _simulate(arguments: argparse.Namespace) -> bool:
    import jax

    import mlsem_jax as ml
    from mlsem_jax.files import write_csv

    _writable(arguments.out, read=(arguments.fit,))
    with jax.enable_x64(True):
        model, theta, sizes, group = _population(arguments)
        if arguments.datasets * sum(sizes) > _MOST_ROWS:
            raise CommandError(
                f"{arguments.datasets} data sets of {sum(sizes)} rows are more than {_MOST_ROWS:,}; draw fewer at a time, with "
                "another --seed each."
            )
        rows = ml.simulate(model, theta, arguments.seed, sizes, arguments.datasets, rows=True, group=group)
    out: Path = arguments.out
    for i in range(arguments.datasets):
        path = out if arguments.datasets == 1 else out.with_name(f"{out.stem}_{i + 1}{out.suffix}")
        write_csv(rows.frame(i), path)
        say(arguments, f"{_design(model, sizes)} written to {path}")
    return True


def _montecarlo_arguments(p: argparse.ArgumentParser) -> None:
    _design_arguments(p)
    p.add_argument("--datasets", type=number(1), default=1000, metavar="N", help="how many data sets (1000)")
    p.add_argument("--profile", action="store_true", help="also the coverage of profile-likelihood intervals")
    p.add_argument("--csv", type=Path, metavar="FILE", help="write the table")


# rows that fit in the memory of most machines
_MOST_ROWS = 10**8
# data sets between two words on how far a study is
_CHUNK = 250


def _montecarlo(arguments: argparse.Namespace) -> bool:
    import jax

    import mlsem_jax as ml

    _writable(arguments.csv, read=(arguments.fit,))
    with jax.enable_x64(True):
        model, theta, sizes, group = _population(arguments)
        say(arguments, f"fitting {arguments.datasets} data sets of {_design(model, sizes)} ...")
        options: dict[str, Any] = {"group": group} if len(set(group)) > 1 else {}

        def told(done: int, total: int) -> None:
            say(arguments, f"{done} of {total} data sets ({time.perf_counter() - start:.0f} s)")

        start = time.perf_counter()
        study = ml.montecarlo(
            model,
            theta,
            sizes,
            arguments.datasets,
            arguments.seed,
            profile=arguments.profile,
            chunk=_CHUNK,
            progress=told,
            **options,
        )
    print(study)
    if arguments.csv:
        from mlsem_jax.files import write_csv

        write_csv(study.table(), arguments.csv, index=True)
        say(arguments, f"table written to {arguments.csv}")
    return True


COMMANDS = (
    Command("fit", "Fit a model of two levels, or of one, to a file of data.", _fit_arguments, _fit),
    Command("simulate", "Draw data from a fitted model.", _simulate_arguments, _simulate),
    Command(
        "montecarlo", "Simulate from a fitted model and fit again, many times.", _montecarlo_arguments, _montecarlo
    ),
    Command("demo", "Fit a model to the data that come with the package.", _demo_arguments, _demo),
)
