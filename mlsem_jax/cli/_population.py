"""`mlsem simulate` and `mlsem montecarlo`: data and studies from a saved fit."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from mlsem_jax.cli._shared import Command, CommandError, number, say, writable

# rows that fit in the memory of most machines
_MOST_ROWS = 10**8
# data sets between two words on how far a study is
_CHUNK = 250


def _sizes(text: str) -> str:
    """The type of --size: a text that `cluster_sizes` reads."""
    from mlsem_jax.studies import cluster_sizes

    try:
        cluster_sizes(2, text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None
    return text


def _design_arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "fit", type=Path, help="a saved fit (mlsem fit ... --json FILE): its estimates are the population values"
    )
    p.add_argument(
        "--clusters", type=number(2), default=None, metavar="J", help="number of clusters (as in the fit's data)"
    )
    p.add_argument(
        "--size",
        type=_sizes,
        default=None,
        metavar="N",
        help="rows in each cluster (with --clusters): 20, a range 5-30, or a list 5,10,40 that clusters take in turn",
    )
    p.add_argument("--seed", type=number(-(2**63), 2**63 - 1), default=1, help="of the random numbers (1)")
    p.add_argument("--quiet", "-q", action="store_true", help="no progress on stderr")


def _population(arguments: argparse.Namespace) -> tuple[Any, Any, list[int], list[int]]:
    """The model and values of a saved fit, and the design: cluster sizes and their groups (from 0)."""
    import mlsem_jax as ml
    from mlsem_jax.estimation import Source, make_model
    from mlsem_jax.studies import cluster_sizes

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
    groups = fit.specification.ngroups
    sizes = cluster_sizes(arguments.clusters, arguments.size).tolist()
    if sum(sizes) > _MOST_ROWS:
        raise CommandError(
            f"{arguments.clusters} clusters of {arguments.size} are more than {_MOST_ROWS:,} rows; ask for fewer --clusters, or a "
            "smaller --size."
        )
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
    from mlsem_jax.estimation import Rows
    from mlsem_jax.files import write_csv

    writable(arguments.out, read=(arguments.fit,))
    with jax.enable_x64(True):
        model, theta, sizes, group = _population(arguments)
        if arguments.datasets * sum(sizes) > _MOST_ROWS:
            raise CommandError(
                f"{arguments.datasets} data sets of {sum(sizes)} rows are more than {_MOST_ROWS:,}; draw fewer at a time, with "
                "another --seed each."
            )
        rows = ml.simulate(model, theta, arguments.seed, sizes, arguments.datasets, rows=True, group=group)
    assert isinstance(rows, Rows)
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


def _montecarlo(arguments: argparse.Namespace) -> bool:
    import jax

    import mlsem_jax as ml

    writable(arguments.csv, read=(arguments.fit,))
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


POPULATION = (
    Command("simulate", "Draw data from a fitted model.", _simulate_arguments, _simulate),
    Command(
        "montecarlo", "Simulate from a fitted model and fit again, many times.", _montecarlo_arguments, _montecarlo
    ),
)
