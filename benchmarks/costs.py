"""Where the time of a fit goes, cold and warm: `python benchmarks/costs.py [--repeats N] [--json FILE] [--table]`.

Fresh processes read the tutorial's table, fit its model and print the summary, with complete data and with 15 % missing values,
without a cache of compiled programs and with one. Functions of the library are timed from outside: each has the time in it that is
in none of the others. --table rewrites the part of benchmarks/README.md between its marks.
"""

from __future__ import annotations

import argparse
import collections
import datetime
import functools
import importlib
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- costs -->", "<!-- end of costs -->"
COLUMNS = ("empty cache", "warm cache", "warm call")

# stage: the library's functions that belong to it
FUNCTIONS = {
    "parse the model text": ("mlsem_jax.fronts._lavaan:parse", "mlsem_jax.fronts._lavaan:specify"),
    "tables and checks": ("mlsem_jax.fronts._lavaan:prepare",),
    "statistics": ("mlsem_jax.estimation.fit._fit_data:make_statistics",),
    "build the model, starts": (
        "mlsem_jax.estimation.fit._fit_data:build",
        "mlsem_jax.estimation.fit._fit_build:starting_values",
        "mlsem_jax.estimation.fit._fit_build:constraints_of",
    ),
    "search, on the host": ("mlsem_jax.fronts._lavaan:estimate_model",),
    "inference, on the host": ("mlsem_jax.fits._fit:Fit.fit_measures",),
    "report": ("mlsem_jax.fits._fit:Fit.summary", "mlsem_jax.fits._fit:Fit.parameter_estimates"),
}
IMPORTS = ("import numpy", "import jax", "import pandas", "import scipy", "import mlsem_jax")
COMPILED = ("trace", "lower", "compile or read", "run kernels")
ORDER = (*IMPORTS, "read the file", *list(FUNCTIONS)[:5], *COMPILED, *list(FUNCTIONS)[5:], "rest")


class Clock:
    """Time by stage; a stage inside another stops the outer one's clock."""

    def __init__(self) -> None:
        self.spent: collections.Counter[str] = collections.Counter()
        self.stack: list[str] = []
        self.since = time.perf_counter()

    def switch(self) -> None:
        now = time.perf_counter()
        if self.stack:
            self.spent[self.stack[-1]] += now - self.since
        self.since = now

    def timed(self, stage: str, function: Callable) -> Callable:
        @functools.wraps(function)
        def run(*args, **kwargs):
            self.switch()
            self.stack.append(stage)
            try:
                return function(*args, **kwargs)
            finally:
                self.switch()
                self.stack.pop()

        return run

    def wrap(self, stage: str, place: str) -> None:
        """Time a function where its callers look it up."""
        module, name = place.split(":")
        owner = importlib.import_module(module)
        *path, last = name.split(".")
        for part in path:
            owner = getattr(owner, part)
        setattr(owner, last, self.timed(stage, getattr(owner, last)))


def wrap_kernels(clock: Clock) -> None:
    """Every call into a compiled function, tracing and compiling included, until its numbers are there."""
    import jax

    kind = type(jax.jit(lambda: None))
    on_arrays = importlib.import_module("mlsem_jax.estimation.problem._compiled").on_arrays

    def waiting(function: Callable) -> Callable:
        inner = clock.timed("kernels", lambda *a, **k: jax.block_until_ready(function(*a, **k)))
        return lambda *a, **k: function(*a, **k) if "kernels" in clock.stack else inner(*a, **k)

    wrappers: dict[int, Callable] = {}
    for name, module in list(sys.modules.items()):
        if name.startswith("mlsem_jax"):
            for attribute, value in list(vars(module).items()):
                if isinstance(value, kind):
                    setattr(module, attribute, wrappers.setdefault(id(value), waiting(value)))
    made = functools.lru_cache(maxsize=None)(lambda kernel, layout: waiting(on_arrays(kernel, layout)))
    importlib.import_module("mlsem_jax.estimation.problem._compiled").on_arrays = made


def child(data: str, model: str, missing: str, cache: str) -> dict[str, dict[str, float]]:
    """In a fresh process: seconds by stage of the imports and the first call, and of a later call (median of 9)."""
    row: dict[str, float] = {}
    for name in ("numpy", "jax", "pandas", "scipy.special", "mlsem_jax"):
        start = time.perf_counter()
        importlib.import_module(name)
        row[f"import {name.split('.')[0]}"] = time.perf_counter() - start
    import jax
    import pandas as pd

    import mlsem_jax as ml

    start = time.perf_counter()
    _ = ml.sem  # names are imported when they are first used
    row["import mlsem_jax"] += time.perf_counter() - start
    if cache != "none":
        ml.enable_compilation_cache(cache)
    clock, events = Clock(), collections.Counter()
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, seconds, **_: events.update({event.rsplit("/", 1)[-1]: seconds})
    )
    for stage, places in FUNCTIONS.items():
        for place in places:
            clock.wrap(stage, place)
    wrap_kernels(clock)
    text = Path(model).read_text()
    read = clock.timed("read the file", pd.read_csv)

    def once() -> dict[str, float]:
        clock.spent.clear()
        events.clear()
        call = clock.timed(
            "rest", lambda: str(ml.sem(text, read(data), cluster="cluster", missing=missing).summary(**ALL))
        )
        call()
        spent = dict(clock.spent)
        spent["lower"] = events["jaxpr_to_mlir_module_duration"]
        spent["compile or read"] = events["backend_compile_duration"]
        spent["kernels"] -= spent["lower"] + spent["compile or read"]
        return spent

    first, rows = once(), [once() for _ in range(11)][2:]
    warm = {stage: statistics.median(one.get(stage, 0.0) for one in rows) for stage in set().union(*rows)}
    warm["run kernels"] = warm.pop("kernels")
    # what a compiled call takes the first time beyond lowering, compiling and running
    first["trace"] = max(first.pop("kernels") - warm["run kernels"], 0.0)
    first["run kernels"] = warm["run kernels"]
    return {"cold": row | first, "warm": warm}


ALL = {"fit_measures": True, "standardized": True}


def measure(folder: Path, missing: bool, repeats: int) -> dict[str, dict[str, float]]:
    """Medians over fresh processes: the stages of COLUMNS."""
    from cases import TUTORIAL, tutorial_data, with_missing

    demo = tutorial_data()
    data = with_missing(demo, 0.15, ["y1", "y2", "y3"]) if missing else demo
    data.to_csv(folder / "data.csv", index=False)
    (folder / "model.txt").write_text(TUTORIAL)
    cache = folder / f"cache{missing:d}"

    def run(where: str) -> dict:
        command = [sys.executable, __file__, "--child", str(folder / "data.csv"), str(folder / "model.txt")]
        env = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
        command += ["ml" if missing else "listwise", where]
        done = subprocess.run(command, capture_output=True, check=False, env=env, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        return json.loads(done.stdout.splitlines()[-1])

    empty = [run("none") for _ in range(max(repeats // 2, 1))]
    run(str(cache))
    warm = [run(str(cache)) for _ in range(repeats)]
    found = {"empty cache": [r["cold"] for r in empty], "warm cache": [r["cold"] for r in warm]}
    found["warm call"] = [r["warm"] for r in warm]
    return {
        name: {stage: statistics.median(row.get(stage, 0.0) for row in rows) for stage in ORDER}
        for name, rows in found.items()
    }


def imports() -> dict[str, float]:
    """Self time of the modules of each package, seconds, by `python -X importtime`, which itself makes imports slower."""
    code = "import pandas, mlsem_jax as ml; ml.sem"
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, check=True, text=True)
    spent: collections.Counter[str] = collections.Counter()
    for own, name in re.findall(r"^import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", done.stderr, re.MULTILINE):
        parts = name.split(".")
        spent[".".join(parts[:2]) if parts[0] in ("scipy", "mlsem_jax") else parts[0]] += int(own) / 1e6
    return dict(spent.most_common(15))


def table(result: dict) -> str:
    """Milliseconds by stage, and the heavy imports."""
    both = [(data, column) for data in result["stages"] for column in COLUMNS]
    lines = [
        f"{result['date']}, {result['machine']}, load {result['load']:.1f}, jax {result['jax']}. Milliseconds.",
        "",
    ]
    lines += [
        "| stage | " + " | ".join(f"{data}, {column}" for data, column in both) + " |",
        "|:--|" + "--:|" * len(both),
    ]
    for stage in (*ORDER, "total"):
        values = [result["stages"][data][column] for data, column in both]
        shown = [1000 * (sum(v.values()) if stage == "total" else v[stage]) for v in values]
        if any(value >= 0.05 for value in shown):
            cells = (f"{value:.1f}" if value < 100 else f"{value:.0f}" for value in shown)
            lines.append(f"| {stage} | " + " | ".join("" if cell == "0.0" else cell for cell in cells) + " |")
    heavy = ", ".join(f"{name} {1000 * value:.0f}" for name, value in result["imports"].items())
    return "\n".join([*lines, "", f"Self time of modules by package, from `python -X importtime` (ms): {heavy}."])


def main() -> None:
    """Measure, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, default=HERE / "results" / "costs.json")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(*options.child)))
        return
    import jax

    result: dict = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "load": os.getloadavg()[0],
        "jax": jax.__version__,
        "stages": {},
    }
    with tempfile.TemporaryDirectory() as name:
        for data, missing in (("complete", False), ("15 % missing", True)):
            result["stages"][data] = measure(Path(name), missing, options.repeats)
    result["imports"] = imports()
    options.json.write_text(json.dumps(result, indent=1) + "\n")
    text = table(result)
    print(text)
    if options.table:
        page = HERE / "README.md"
        before, after = page.read_text().split(BEGIN)[0], page.read_text().split(END)[-1]
        page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


if __name__ == "__main__":
    main()
