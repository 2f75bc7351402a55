'''`ml.study`: a grid of conditions, each simulated and fitted many times.

What a user types:

    MODEL = """
    level: 1
      fw =~ 1*y1 + start(0.8)*y2 + start(0.8)*y3
      fw ~~ start(1)*fw
      y1 ~~ start(0.5)*y1
      ...
    level: 2
      fb =~ 1*y1 + start(0.9)*y2 + start(0.9)*y3
      fb ~ start(0.3)*w
      ...
    """
    design = ml.grid(clusters=[30, 100], size=[5, "5-25"], icc=[0.05, 0.2])
    result = ml.study(design, MODEL, n_datasets=1000, key=1, path="study")
    result.table()                                  # a row for every cell and parameter, with Monte-Carlo errors
    result.rates()                                  # a row for every cell: converged, improper, rejected
    result.plot("coverage", parameters=["fb~w.l2"]) # a panel for every parameter and icc

The text is population and analysis in one: start() holds the true values of what is estimated, plain numbers are fixed. Two texts
make a study of a wrong model: `population=` draws, `model=` is fitted, or several, `model={"right": A, "wrong": B}`, by the column
`model` (without one, all of them in every condition). Every other column is a condition of `COLUMNS` or a parameter's name.

How: each row becomes a `Cell` (`_cells.py`). What is drawn has a fingerprint that, with the key, makes the random numbers: cells
that differ in model, estimator or handling alone see the same data sets, so that their differences are paired; and a grid that
grows keeps what is done. Complete data by maximum likelihood, robust or not, go in batches through `ml.montecarlo`'s programs
(`_blocks.py`, `_robust.py`), everything else one fit at a time.'''

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import fields, replace
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from mlsem_jax._block_files import Block, BlockFolder, gaps, open_folder
from mlsem_jax._errors import DataError, ModelError
from mlsem_jax._spread import check_executor, portable_key, spread
from mlsem_jax.estimation import Model, Rows, as_key, check_flag, check_progress, check_whole, simulate
from mlsem_jax.fronts import split_options
from mlsem_jax.numerics import float64
from mlsem_jax.report import bar, notice_if_slow
from mlsem_jax.studies._blocks import run_block
from mlsem_jax.studies._cells import Analysis, Cell, check_cell, true_values
from mlsem_jax.studies._design import Conditions, read_design
from mlsem_jax.studies._icc import with_icc
from mlsem_jax.studies._montecarlo_study import MonteCarlo
from mlsem_jax.studies._population import (
    check_is_model,
    check_one_group,
    holding_covariates,
    model_of_text,
    values_of,
)
from mlsem_jax.studies._report import Study
from mlsem_jax.syntax import SyntaxOptions, read_model


def study(
    design: Any,
    model: Any,
    values: Any = None,
    *,
    population: Any = None,
    n_datasets: int = 500,
    key: Any = 0,
    chisq: bool = True,
    level: float = 0.95,
    path: str | Path | None = None,
    chunk: int = 500,
    executor: Executor | None = None,
    part: tuple[int, int] | None = None,
    progress: bool | Callable[[int, int], None] = False,
    **options: Any,
) -> Study:
    """Simulate and fit data sets in every condition of a design, and summarise them in one table.

    **Arguments:**

    - `design`: a table with a row for every condition, as [`mlsem_jax.grid`][] makes it. Columns: `clusters` and `size` (rows of
      a cluster: a number, a range "5-20", a list; of one level `size` alone); `icc` (mean intraclass correlation of the variables
      of both levels: one factor multiplies the (residual) variances and covariances of level 2); `model`; `estimator` ("ML",
      "MLR", "MLF"); `missing` (share of the values of all level-1 outcomes, or a dictionary by variable), completely at random
      or, with `missing_by` (a variable), with log-odds that rise by `missing_slope` (1) per its standard deviation;
      `missing_handling` ("ml", "listwise"); `distribution` ("normal", "t", "chisq", "laplace") and `freedom` of the shocks behind
      both levels, or `skewness` and `kurtosis` of the variables' parts at each (numbers, or dictionaries by variable); and any
      parameter of the population by its name. NaN and None in a cell leave the condition at its default.
    - `model`: what is fitted: a text of lavaan's syntax; a model of [`mlsem_jax.model`][]; or several by name.
    - `values`: parameters of the population by name (a dictionary or a Series), above start() of the text. Means and intercepts
      are 0 where nothing is said; covariates have mean 0 and variance 1 where a text alone describes them.
    - `population`: what is drawn, where that is another model. Quantities are compared with those of the same name; a path that
      the population does not have is 0 there. Write both with the same scale.
    - `n_datasets`, `key`, `chisq`, `level`, `executor`: as in [`mlsem_jax.montecarlo`][]; data sets by cell.
    - `path`: a folder that keeps every block of `chunk` data sets: the same call goes on where it ended, also with rows added to
      the design or more data sets. `part`: (i, n) fits every n-th block, for jobs that share the folder and nothing else.
    - `progress`: a bar on stderr, or `progress(done, total)` with data sets of all cells.
    - `options`: of [`mlsem_jax.sem`][], for population and model alike (`std_lv=True`), or for the fits
      (`se="robust.huber.white"`).

    **Returns:** a `Study`: `table()`, `rates()`, `draws()`, `plot()`, and `cells`, a `MonteCarlo` each.

    **Raises:** DataError, ModelError for a design or a population that makes no sense, before anything is fitted.
    """
    _check(n_datasets, chunk, level, chisq, progress)
    check_executor(executor)
    key = as_key(key) if not isinstance(key, Integral) or isinstance(key, bool) else int(key)
    cells = _cells(design, model, values, population, options)
    folder = None if path is None else _folder(path)
    _check_part(part, folder)
    stores = [None if folder is None else _store(folder, cell, key, chisq) for cell in cells]
    done = [[] if store is None else store.read(n_datasets) for store in stores]
    blocks = _blocks(done, n_datasets, chunk, part)
    count, total = sum(_length(part_) for one in done for _, part_ in one), len(cells) * n_datasets
    if progress is True and blocks:
        print(_announced(cells, n_datasets, chunk), file=sys.stderr)
    report = bar if progress is True else (progress or None)
    with nullcontext() if progress else notice_if_slow():
        tell = None if report is None else lambda more: report(count + more, total)
        for number, first, block in _run(executor, (cells, portable_key(key), chisq), blocks, tell):
            done[number].append((first, block))
            count += _length(block)
            if (store := stores[number]) is not None:
                store.write(first, block)
            if report is not None:
                report(count, total)
    return _study(cells, done, level)


@float64
def _cells(design: Any, model: Any, values: Any, population: Any, options: dict[str, Any]) -> tuple[Cell, ...]:
    syntax, fit = _split(options)
    models = dict(model) if isinstance(model, Mapping) else {"": model}
    if not models:
        raise ModelError("model={} names no model.")
    for name, one in models.items():
        check_is_model(one, f"model[{name!r}]" if name else "model")
    if population is None:
        if len(models) > 1:
            raise ModelError("With several models say which one is drawn from: population=, a text or a model.")
        population = next(iter(models.values()))
    check_is_model(population, "population")
    drawn = population if isinstance(population, Model) else _from_text(population, syntax, None)
    conditions = _crossed(read_design(design, [n for n in models if n], drawn.labels.specification.single), models)
    given = _named_values(values)
    analyses: dict[str, Analysis] = {}
    return tuple(
        _cell(one, number, models, analyses, drawn, population, given, syntax, fit)
        for number, one in enumerate(conditions)
    )


def _named_values(values: Any) -> dict[str, Any]:
    if values is None or isinstance(values, Mapping):
        return dict(values or {})
    labels: list = getattr(getattr(values, "index", None), "tolist", list)()
    if labels and all(isinstance(label, str) for label in labels):
        return dict(zip(labels, values.tolist(), strict=True))
    raise DataError('values are given by name: values={"fb~w.l2": 0.3}, or the Series of fit.coef().')


def _cell(c: Conditions, number, models, analyses, drawn: Model, population, given, syntax, fit) -> Cell:
    name = c.model or next(iter(models))
    try:
        theta = values_of(drawn, given | c.values, "ml.study")
        theta = theta if c.icc is None else with_icc(drawn, theta, c.icc)
        if name not in analyses:
            analyses[name] = _analysis(models[name], population, drawn, theta, syntax)
        analysis = analyses[name]
        if analysis.model is not drawn:
            analysis = replace(analysis, model=holding_covariates(analysis.model, drawn, theta))
        true = true_values(drawn, theta, analysis)
        start = theta if analysis.model is drawn else None
        cell = Cell(c, drawn, theta, analysis, true, start, fit)
        check_cell(cell)
    except (DataError, ModelError) as error:
        told = str(error) if str(error).startswith("Row ") else f"Row {number} of the design ({c.words()}): {error}"
        raise type(error)(told) from None
    return cell


def _analysis(model: Any, population: Any, drawn: Model, theta: np.ndarray, syntax: dict[str, Any]) -> Analysis:
    text = None if isinstance(model, Model) else model
    if model is population:
        return Analysis(drawn, text, syntax)
    if isinstance(model, Model):
        return Analysis(model, None)
    single = drawn.labels.specification.single
    sizes = 200 if single else [4] * 100
    rows = simulate(drawn, theta, 1, sizes, rows=True)
    assert isinstance(rows, Rows)
    return Analysis(_from_text(model, syntax, rows.frame(0)), text, syntax)


def _from_text(text: Any, syntax: dict[str, Any], frame: Any) -> Model:
    parsed = read_model(text, call="study(design, model)")
    check_one_group(parsed)
    return model_of_text(parsed, syntax, frame)


def _crossed(conditions: tuple[Conditions, ...], models: Mapping[str, Any]) -> tuple[Conditions, ...]:
    """Every condition with every model where the design does not say which."""
    if len(models) == 1 and "" in models:
        return conditions
    found = []
    for c in conditions:
        names = [c.model] if c.model is not None else list(models)
        found += [replace(c, model=name, shown=c.shown | {"model": name}) for name in names]
    return tuple(found)


def _split(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the model text, and those of the fits. ModelError for what a column of the design says, and for unknown ones."""
    for name in ("estimator", "missing", "cluster", "group"):
        if name in options:
            where = "a column of the design" if name in ("estimator", "missing") else "made by ml.study itself"
            raise ModelError(f"{name}= is {where}: leave it out.")
    split_options("sem", options)
    known = {f.name for f in fields(SyntaxOptions)}
    return (
        {name: value for name, value in options.items() if name in known},
        {name: value for name, value in options.items() if name not in known},
    )


def _check(n_datasets: Any, chunk: Any, level: Any, chisq: Any, progress: Any) -> None:
    check_whole("n_datasets", n_datasets, 1)
    check_whole("chunk", chunk, 1)
    check_flag("chisq", chisq)
    check_progress(progress)
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level < 1:
        raise DataError(f"level={level!r}: the level of confidence intervals lies between 0 and 1, such as 0.95.")


def _check_part(part: Any, folder: Path | None) -> None:
    if part is None:
        return
    whole = isinstance(part, tuple) and len(part) == 2 and all(isinstance(x, Integral) for x in part)
    if not whole or not 0 <= part[0] < part[1]:
        raise DataError(f"part={part!r}: (i, n) is part i of n, 0 <= i < n, such as (0, 10).")
    if folder is None:
        raise DataError("part= is for jobs that share a folder: pass path= with the name of one, such as 'study'.")


def _folder(path: Any) -> Path:
    return open_folder(path, {"kind": "ml.study"}).path


def _store(folder: Path, cell: Cell, key: Any, chisq: bool) -> BlockFolder:
    about = {"names": list(cell.analysis.names), "key": str(portable_key(key)), "chisq": chisq}
    return BlockFolder(folder / cell.fingerprint, about)


def _blocks(done: list, n_datasets: int, chunk: int, part: tuple[int, int] | None) -> list[tuple[int, int, int]]:
    """(cell, first data set, number) of all blocks that are missing and this job's."""
    each = -(-n_datasets // chunk)
    found = []
    for number, one in enumerate(done):
        for first, count in gaps(one, n_datasets, chunk):
            if part is None or (number * each + first // chunk) % part[1] == part[0]:
                found.append((number, first, count))
    return found


def _run(
    executor: Executor | None,
    common: tuple[tuple[Cell, ...], Any, bool],
    blocks: list[tuple[int, int, int]],
    tell: Callable[[int], None] | None,
) -> Iterator[tuple[int, int, Block]]:
    if executor is None:
        yield from ((number, first, run_block(*common, number, first, count, tell)) for number, first, count in blocks)
        return
    for place, found in spread(executor, run_block, common, blocks):
        number, first, _ = blocks[place]
        yield number, first, found


def _announced(cells: tuple[Cell, ...], n_datasets: int, chunk: int) -> str:
    """What is to be done, in a line; and what of it takes longest."""
    most = min(n_datasets, chunk)
    alone = sum(not cell.in_batches and not cell.in_batches_of(most) for cell in cells)
    each = f", those of {alone} fitted one at a time" if alone else ""
    return f"study: {len(cells)} cells of {n_datasets} data sets{each}; the first blocks compile programs ..."


def _length(block: Block) -> int:
    return len(block["status"])


def _study(cells: tuple[Cell, ...], done: list, level: float) -> Study:
    found, kept = [], []
    for cell, blocks in zip(cells, done, strict=True):
        if not blocks:
            continue
        parts = [block for _, block in sorted(blocks, key=lambda one: one[0])]
        every = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        df = int(every.pop("df").max())
        found.append(MonteCarlo(cell.analysis.names, cell.true, df=df, level=level, **every))
        kept.append(cell.conditions.shown)
    if not found:
        raise DataError("part: the study has fewer blocks than parts, and none is this one's. Use a smaller chunk=.")
    return Study(tuple(kept), tuple(found))
