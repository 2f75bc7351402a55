"""`mlsem network`: networks of partial correlations at both levels, of observed or of latent variables."""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsem_jax.cli._data import data_arguments, read_data
from mlsem_jax.cli._named import named_arguments, named_options
from mlsem_jax.cli._shared import Command, CommandError, say, writable

if TYPE_CHECKING:
    from mlsem_jax.networks import NetworkFit

_OBSERVED = ("ggm", "varcov", "corr")
_LATENT = ("lnm", "rnm", "lrnm", "lvm")


def _arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("data", type=Path, help="table: CSV, Parquet, Feather, Stata, SPSS, SAS or R file")
    p.add_argument("--clusters", "--cluster", required=True, metavar="COLUMN", help="which cluster a row is in")
    p.add_argument("--groups", "--group", metavar="COLUMN", help="column of groups")
    p.add_argument("--vars", nargs="+", action="extend", metavar="COLUMN", help="the variables (all other columns)")
    p.add_argument(
        "--model",
        choices=(*_OBSERVED, *_LATENT),
        default="ggm",
        help="of observed variables: ggm (networks, the default), varcov, corr; with --factor: lnm (networks of factors), rnm (of "
        "residuals), lrnm (both), lvm",
    )
    p.add_argument(
        "--factor",
        action="append",
        default=[],
        metavar="NAME=A,B,C",
        help="a factor and its indicators; once for every factor",
    )
    p.add_argument("--estimator", default=None, help="ML, FIML (missing values) or MLR")
    data_arguments(p)
    named_arguments(p)
    p.add_argument("--prune", action="store_true", help="take edges that are not significant away and fit again")
    p.add_argument("--stepup", action="store_true", help="then add edges as long as that helps (BIC)")
    p.add_argument("--alpha", type=float, default=0.01, help="of --prune and --stepup (0.01)")
    p.add_argument("--json", type=Path, metavar="FILE", help="save the fit (ml.load reads it)")
    p.add_argument("--csv", type=Path, metavar="FILE", help="write the table of parameters")
    p.add_argument("--picture", type=Path, metavar="FILE", help="draw the networks (.png, .svg or .pdf)")
    p.add_argument("--quiet", "-q", action="store_true", help="no progress on stderr")


def _network(arguments: argparse.Namespace) -> bool:
    writable(arguments.json, arguments.csv, arguments.picture, read=(arguments.data,))
    if not 0 < arguments.alpha < 1:
        raise CommandError(f"--alpha {arguments.alpha:g}: a significance level lies between 0 and 1.")
    data = read_data(arguments)
    model = _model(arguments, data)
    say(arguments, "fitting (the first of its kind takes longer) ...")
    start = time.perf_counter()
    fit = model.fit()
    if fit.converged and arguments.prune:
        fit = fit.prune(alpha=arguments.alpha)
    if fit.converged and arguments.stepup:
        fit = fit.stepup(alpha=arguments.alpha)
    say(arguments, f"{fit.status} ({time.perf_counter() - start:.1f} s)")
    _show(arguments, fit)
    return fit.converged


def _model(arguments: argparse.Namespace, data: Any) -> Any:
    import mlsem_jax as ml

    options: dict[str, Any] = {"groups": arguments.groups, "estimator": arguments.estimator}
    given = {name: value for name, value in options.items() if value is not None} | named_options(arguments, options)
    make = getattr(ml, f"ml_{arguments.model}")
    if not arguments.factor:
        if arguments.model in ("lnm", "lvm", "lrnm"):
            raise CommandError(f"--model {arguments.model} is of factors: name them, --factor math=math1,math2,math3.")
        return make(data, clusters=arguments.clusters, vars=arguments.vars, **given)
    if arguments.model in _OBSERVED:
        raise CommandError(f"--model {arguments.model} has no factors. For networks of factors write --model lnm.")
    names, loadings = _loadings(arguments.factor, arguments.vars)
    return make(data, loadings, clusters=arguments.clusters, vars=names, latents=_factors(arguments.factor)[0], **given)


def _factors(words: list[str]) -> tuple[list[str], list[list[str]]]:
    names, items = [], []
    for word in words:
        found = re.fullmatch(r"\s*([^=]+?)\s*=~?\s*(.+)", word)
        listed = [item.strip() for item in re.split(r"[,+]", found[2])] if found else []
        if found is None or not all(listed):
            raise CommandError(f"--factor {word}: write NAME=A,B,C, a factor and its indicators.")
        names.append(found[1])
        items.append(listed)
    return names, items


def _loadings(words: list[str], given: list[str] | None) -> tuple[list[str], Any]:
    """Variables, and the pattern (variables, factors): 1 where an item measures a factor."""
    import numpy as np

    factors, items = _factors(words)
    names = given or list(dict.fromkeys(item for own in items for item in own))
    if unknown := [item for own in items for item in own if item not in names]:
        raise CommandError(f"--factor names {unknown[0]}, which is not among --vars.")
    return names, np.array([[float(name in own) for own in items] for name in names]).reshape(len(names), len(factors))


def _show(arguments: argparse.Namespace, fit: NetworkFit) -> None:
    print(fit)
    matrices = fit.parameters()["matrix"]
    for name in dict.fromkeys(matrices[matrices.str.startswith("omega")]):
        print(f"\n{name} (partial correlations)")
        print(_matrix(fit, name))
    measures = fit.fit_measures(convention="psychonetrics") if fit.converged else {}
    shown = [
        name for name in ("logl", "chisq", "df", "pvalue", "cfi", "tli", "rmsea", "aic.ll", "bic") if name in measures
    ]
    if shown:
        print()
        print("\n".join(f"{name:8} {measures[name]:12.3f}" for name in shown), flush=True)
    if arguments.json:
        say(arguments, f"fit saved in {fit.save(arguments.json)}")
    if arguments.csv:
        from mlsem_jax.files import write_csv

        write_csv(fit.parameters(), arguments.csv)
        say(arguments, f"parameters written to {arguments.csv}")
    if arguments.picture:
        import numpy as np

        np.ravel(np.asarray(fit.plot_network(), object))[0].figure.savefig(arguments.picture, bbox_inches="tight")
        say(arguments, f"networks drawn in {arguments.picture}")


def _matrix(fit: NetworkFit, name: str) -> str:
    import pandas as pd

    groups = fit.specification.groups
    if not groups:
        return pd.DataFrame(fit.getmatrix(name)).round(3).to_string()
    return "\n".join(f"[{g}]\n{pd.DataFrame(fit.getmatrix(name, group=g)).round(3).to_string()}" for g in groups)


NETWORK = (Command("network", "Fit networks within and between clusters.", _arguments, _network),)
