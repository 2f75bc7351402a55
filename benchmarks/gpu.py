"""Everything that is to be known of a GPU, in one command of less than eight minutes: `python benchmarks/gpu.py [--out FILE]`.

Needs jax[cuda] and nothing else. First it checks: kernels, estimates with their statuses lane by lane, and derivatives against the
machine's own CPU. Then it measures: fits per second by size of the batch, memory, compile time, bootstrap, missing values, bytes
and FLOPs of a fit beside a count by hand, the slowest kernels, sweeps as a loop and unrolled, single fits on both. The JSON is
written after every part, so that a run that is cut short keeps what it has; a part that fails says so and the others go on.

--dry-run does the same with a handful of lanes on whatever is there. It shows that the program works, and its times mean nothing.
"""

from __future__ import annotations

import argparse
import collections
import datetime
import gzip
import json
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from cases import TUTORIAL, saturated_model, tutorial_data, two_level, with_missing
from throughput import SIZES, population

import mlsem_jax as ml
from mlsem_jax import likelihood
from mlsem_jax.estimation import settings
from mlsem_jax.estimation.batch._devices import place, program
from mlsem_jax.numerics import sweep

SWITCH = "MLSEM_JAX_UNROLLED_SWEEPS"

TOLERANCE = 1e-9
MAXIMUM = [int(status) for status in ml.Status if status.converged]
# of an H200 (NVIDIA's data sheet): bytes a second, and FLOPs a second in float64 without tensor cores
BANDWIDTH, FLOPS = 4.8e12, 34e12
# of a dry run: of the dimensions of tests/tiny.py, so that in the suite they share compiled programs
TINY = "level: 1\n  fw =~ y1 + y2 + y3\nlevel: 2\n  fb =~ y1 + y2 + y3\n  y1 ~~ 0.2*y1\n"


class Run:
    """Sizes of this run, its devices, and what all parts share."""

    def __init__(self, dry: bool):
        self.dry = dry
        self.device, self.host = jax.local_devices()[0], jax.local_devices(backend="cpu")[0]
        self.checked, self.lanes = (8, 8) if dry else (1024, 8192)
        self.sizes = (8,) if dry else (8192, 65536, 1024)
        self.draws, self.gaps, self.repeats = (8, 8, 1) if dry else (10_000, 1000, 3)
        self.text, self.data = TUTORIAL, tutorial_data()
        self.model, self.theta = population()
        self.sizes_of_clusters = SIZES
        if dry:
            self.text, self.sizes_of_clusters = TINY, np.repeat([5, 10], 30)
            self.data = two_level(1, self.sizes_of_clusters, 3, 1).rename(columns={"g": "cluster"})
            self.model = ml.model(TINY, self.data, cluster="cluster")
            self.theta = np.asarray(ml.estimate(self.model, ml.statistics(self.model, self.data)).theta)
        # a residual variance near zero: some lanes are improper
        self.near = np.where([name == "y3~~y3.l2" for name in self.model.names], 0.02, self.theta)

    def drawn(self, lanes: int, theta: np.ndarray) -> Any:
        """Statistics of so many data sets as NumPy arrays, drawn on the CPU: the same numbers everywhere."""
        with jax.default_device(self.host):
            return jax.tree.map(np.asarray, ml.simulate(self.model, theta, 1, self.sizes_of_clusters, lanes))


def value_and_gradient(structure: Any, theta: Any, stats: Any) -> tuple[Any, Any]:
    moments, back = jax.vjp(structure, theta)
    value, slope = likelihood.moment_gradient(moments, structure.between_only, stats)
    return value, back(slope)[0]


def best(function: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Seconds of the first call, which compiles, and of the best of the calls after it."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        jax.block_until_ready(function())
        times.append(time.perf_counter() - start)
    return {"first call s": times[0], "best s": min(times[1:])}


def apart(a: Any, b: Any) -> float:
    """Largest difference of two arrays, relative to their elements or to 1; NaN in the same places is none."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    if not np.array_equal(np.isnan(a), np.isnan(b)):
        return float("inf")
    with np.errstate(invalid="ignore"):
        return float(np.nanmax(np.abs(a - b) / np.maximum(1.0, np.abs(b)), initial=0.0))


def trees_apart(a: Any, b: Any) -> float:
    """The same leaf by leaf, relative to the largest element of the leaf: elements may cancel to zero."""
    scales = [max(1.0, float(np.nanmax(np.abs(x), initial=0.0))) for x in jax.tree.leaves(b)]
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), scales, strict=True)
    return max(apart(np.asarray(x) / scale, np.asarray(y) / scale) for x, y, scale in pairs)


def kernels_agree(run: Run) -> dict[str, Any]:
    """Value, gradient and both informations at one theta, on the device and on the CPU."""
    stats = run.drawn(4, run.theta)
    out = {}
    kernels = {"value and gradient": value_and_gradient, "observed information": likelihood.observed_information}
    kernels |= {"expected information": likelihood.expected_information}
    for name, kernel in kernels.items():
        mapped = jax.jit(jax.vmap(kernel, in_axes=(None, None, 0)))
        one, other = (
            mapped(*jax.device_put((run.model.structure, run.theta, stats), d)) for d in (run.device, run.host)
        )
        out[name] = trees_apart(one, other)
    return {"differences": out, "passed": max(out.values()) < TOLERANCE}


def lanes_agree(run: Run) -> dict[str, Any]:
    """A batch with improper lanes and one of NaN, on the device and on the CPU."""
    stats = run.drawn(run.checked, run.near)
    stats = jax.tree.map(lambda x: np.where(np.arange(len(x)).reshape(-1, *[1] * (x.ndim - 1)) == 3, np.nan, x), stats)
    one, other = (ml.estimate_batch(run.model, stats, chunk=run.checked, devices=[d]) for d in (run.device, run.host))
    good = np.isin(other.status, MAXIMUM)
    names = ("theta", "value", "se", "information")
    out = {name: trees_apart(getattr(one, name)[good], getattr(other, name)[good]) for name in names}
    differ = int(np.sum(one.status != other.status))
    codes = collections.Counter(ml.Status(int(code)).name for code in one.status)
    return {
        "lanes": len(one.status),
        "statuses": dict(codes),
        "statuses that differ": differ,
        "differences": out,
        "passed": not differ and max(out.values()) < TOLERANCE,
    }


def derivatives_agree(run: Run) -> dict[str, Any]:
    """The gradient of a function of the estimate in the statistics, on the device and on the CPU."""
    one = jax.tree.map(lambda x: x[0], run.drawn(1, run.theta))
    slope = jax.jit(jax.grad(lambda s, model: (ml.estimate(model, s).theta ** 2).sum()))
    found = [slope(*jax.device_put((one, run.model), d)) for d in (run.device, run.host)]
    off = trees_apart(*found)
    return {"differences": {"gradient": off}, "passed": off < TOLERANCE}


def throughput(run: Run, lanes: int) -> dict[str, Any]:
    """Fits per second of a whole call from NumPy to NumPy, and of the device alone."""
    stats = run.drawn(lanes, run.theta)
    kept: dict[str, Any] = {}

    def call() -> Any:
        kept["end"] = ml.estimate_batch(run.model, stats, chunk=lanes, devices=[run.device])
        return kept["end"].theta

    out: dict[str, Any] = best(call, run.repeats)
    end = kept["end"]
    compiled = program((run.device,), True, True, None)
    parts = ((None, stats, None, None), (run.model.structure, None, None, None))
    on_device = place(parts, (run.device,), lanes=True)
    limits = place(settings(np.float64, iterations=25, rounds=3), (run.device,), lanes=False)
    alone = best(lambda: compiled(*on_device, None, limits), run.repeats)
    memory = run.device.memory_stats() or {}
    return out | {
        "fits per second": lanes / out["best s"],
        "fits per second, device alone": lanes / alone["best s"],
        "converged": float(np.mean(np.isin(end.status, MAXIMUM))),
        # all lanes of a call take as many steps as the slowest
        "iterations, mean and percentiles 50 99 100": [
            float(end.iterations.mean()),
            *np.percentile(end.iterations, [50, 99, 100]).tolist(),
        ],
        "peak memory bytes": memory.get("peak_bytes_in_use"),
    }


def compile_time(run: Run) -> dict[str, float]:
    """Tracing, lowering and compiling the program of a batch, without a cache."""
    stats = run.drawn(run.lanes, run.theta)
    parts = ((None, stats, None, None), (run.model.structure, None, None, None), None, settings(np.float64))
    fresh = jax.jit(program.__wrapped__((run.device,), True, True, None))
    times = [time.perf_counter()]
    traced = fresh.trace(*jax.device_put(parts, run.device))
    times.append(time.perf_counter())
    lowered = traced.lower()
    times.append(time.perf_counter())
    lowered.compile()
    times.append(time.perf_counter())
    return dict(zip(("trace s", "lower s", "compile s"), np.diff(times).tolist(), strict=True))


def by_hand(p: int, m: int, q: int, sizes: int, pools: int) -> dict[str, dict[str, float]]:
    """FLOPs and the fewest bytes of one lane, leading terms, float64: p variables, m members of eta, q parameters.

    A matrix product is 2 abc FLOPs and an inverse 2 p^3. Bytes: statistics and state read once, the state written once.
    """
    structure = 2 * (2 * m**3 + 4 * p * m**2 + 2 * p**2 * m)
    gradient = 3 * structure + (sizes + 1) * 6 * p**3
    jacobian = 2 * q * structure
    metric = jacobian + (pools + 1) * (4 * q * p**3 + 2 * q**2 * p**2)
    hessian = jacobian + (sizes + 1) * (8 * q * p**3 + 2 * q**2 * p**2)
    data, state = 8.0 * (sizes * (p * p + p + 2) + p * p), 8.0 * (4 * q * q + 4 * q)
    moments = 8.0 * 2 * p * p * q
    return {
        "gradient": {"FLOPs": gradient, "bytes": data + 2 * state},
        "scoring step": {"FLOPs": gradient + metric + 2 * q**3, "bytes": data + 2 * state + 2 * moments},
        "Hessian": {"FLOPs": hessian + 2 * q**3, "bytes": data + 2 * state + 2 * moments},
    }


# steps of a mean lane: scoring, secant, Hessian (from the throughput of CPUs, benchmarks/README.md)
STEPS = {"scoring step": 2.5, "gradient": 8.0, "Hessian": 1.0}


def costs(run: Run) -> dict[str, Any]:
    """Per lane and fit: what XLA says its kernels read and compute, the count by hand, and the floors of an H200 for both.

    XLA counts the body of a loop once: sweeps, a few per cent of the FLOPs, are counted as one of their steps.
    """
    lanes = min(run.lanes, 1024)
    stats, theta = run.drawn(lanes, run.theta), np.tile(run.theta, (lanes, 1))
    of_step = {
        "gradient": value_and_gradient,
        "scoring step": likelihood.evaluate,
        "Hessian": likelihood.observed_information,
    }
    xla = {}
    for name, kernel in of_step.items():
        mapped = jax.jit(jax.vmap(lambda s, t, x, kernel=kernel: kernel(s, t, x), in_axes=(None, 0, 0)))
        found = mapped.lower(*jax.device_put((run.model.structure, theta, stats), run.device)).compile()
        counted = found.cost_analysis() or {}
        xla[name] = {"FLOPs": counted.get("flops", 0) / lanes, "bytes": counted.get("bytes accessed", 0) / lanes}
    level = run.model.structure.within
    p, m, q = *level.lambda_.index.shape[-2:], len(run.theta)
    hand = by_hand(p, m, q, np.shape(stats.complete.size)[-1], np.shape(stats.pools.size)[-1])
    return {"per step": {"XLA": xla, "by hand": hand}, "per fit": {"XLA": _fit(xla), "by hand": _fit(hand)}}


def _fit(per_step: dict[str, dict[str, float]]) -> dict[str, float]:
    flops, moved = (sum(STEPS[name] * cost[unit] for name, cost in per_step.items()) for unit in ("FLOPs", "bytes"))
    return {
        "FLOPs": flops,
        "bytes": moved,
        "H200: fits per second, by FLOPs": FLOPS / flops if flops else None,
        "H200: fits per second, by bytes": BANDWIDTH / moved if moved else None,
    }


def slowest_kernels(run: Run, top: int = 15) -> dict[str, Any]:
    """Milliseconds and launches of the kernels of one call, by JAX's profiler: those on the GPU, else all that it names."""
    stats = run.drawn(run.lanes, run.theta)
    call = lambda: ml.estimate_batch(run.model, stats, chunk=run.lanes, devices=[run.device])  # noqa: E731
    call()
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            call()
        files = sorted(Path(folder).rglob("*.trace.json.gz"))
        events = [e for file in files for e in json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]]
    names = {e["pid"]: e["args"]["name"] for e in events if e.get("name") == "process_name"}
    timed = [e for e in events if e.get("ph") == "X"]
    there = [e for e in timed if "GPU" in names.get(e["pid"], "")]
    there = there or [e for e in timed if not e["name"].startswith("$")]  # what is not Python
    total, count = collections.Counter(), collections.Counter()
    for event in there:
        total[event["name"]] += event.get("dur", 0) / 1e3
        count[event["name"]] += 1
    ranked = [{"kernel": name[:100], "ms": ms, "launches": count[name]} for name, ms in total.most_common(top)]
    return {"events": len(there), "all ms": sum(total.values()), "slowest": ranked}


def inverse_by_sweeps(up_to: int, a: jax.Array) -> Callable[[jax.Array], jax.Array]:
    """Compiled for arrays like a, sweeps of matrices of so many rows or fewer unrolled."""
    asked, os.environ[SWITCH] = os.environ.get(SWITCH), str(up_to)
    function = jax.jit(lambda x: sweep(x)[0])
    function(a)
    del os.environ[SWITCH]
    if asked is not None:
        os.environ[SWITCH] = asked
    return function


def sweeps(run: Run) -> dict[str, Any]:
    """Microseconds of an inverse of all lanes' matrices as the loop that it is and unrolled: which one, and up to which size."""
    out = {}
    for p in (3,) if run.dry else (3, 4, 6, 8, 12):
        a = np.random.default_rng(1).normal(size=(run.lanes, p, 2 * p))
        a = jax.device_put(a @ np.swapaxes(a, 1, 2), run.device)
        functions = {name: inverse_by_sweeps(up_to, a) for name, up_to in (("loop", 0), ("unrolled", p))}
        row: dict[str, Any] = {"difference": trees_apart(functions["loop"](a), functions["unrolled"](a))}
        for name, function in functions.items():
            row[name] = {"us": 1e6 * best(lambda function=function, a=a: function(a), run.repeats)["best s"]}
        out[f"p = {p}"] = row
    return out


def single_fits(run: Run) -> dict[str, Any]:
    """Warm `ml.sem` on both, small and large: from which size on a GPU is the place for a single fit."""
    cases = {"tutorial": (run.text, run.data, "cluster")}
    if not run.dry:
        wide = two_level(4, np.random.default_rng(3).integers(5, 51, 300), 20, 4)
        cases["p = 20 saturated"] = (saturated_model(20), wide, "g")
    out = {}
    for name, (text, data, cluster) in cases.items():
        for device in dict.fromkeys((run.device, run.host)):
            with jax.default_device(device):
                fit = lambda text=text, data=data, cluster=cluster: ml.sem(text, data, cluster=cluster).coef()  # noqa: E731
                out[f"{name}, {device.platform}"] = best(lambda fit=fit: fit().to_numpy(), run.repeats)
    return out


def resampled(run: Run, share: float, draws: int) -> dict[str, Any]:
    """The cluster bootstrap with its table, of complete data or with values missing."""
    data = with_missing(run.data, share, ["y1", "y2", "y3"]) if share else run.data
    fit = ml.sem(run.text, data, cluster="cluster", missing="ml" if share else "listwise", h1=False, baseline=False)
    times = best(lambda: fit.bootstrap(draws, key=1).table().to_numpy(), 1)
    return {"draws": draws, **times, "draws per second": draws / times["best s"]}


def parts(run: Run) -> dict[str, Callable[[], dict[str, Any]]]:
    """In the order of what must be known first."""
    measured = {f"throughput, {n} lanes": (lambda n=n: throughput(run, n)) for n in run.sizes}
    first, *others = measured
    return {
        "kernels agree": lambda: kernels_agree(run),
        "lanes agree": lambda: lanes_agree(run),
        "derivatives agree": lambda: derivatives_agree(run),
        first: measured[first],
        "costs": lambda: costs(run),
        "slowest kernels": lambda: slowest_kernels(run),
        "sweeps": lambda: sweeps(run),
        "missing values, bootstrap": lambda: resampled(run, 0.15, run.gaps),
        "bootstrap": lambda: resampled(run, 0.0, run.draws),
        "single fits": lambda: single_fits(run),
        **{name: measured[name] for name in others},
        "compile time": lambda: compile_time(run),
    }


def versions(run: Run) -> dict[str, Any]:
    return {
        "date": datetime.date.today().isoformat(),
        "device": run.device.device_kind,
        "platform": run.device.platform,
        "runtime": str(getattr(run.device.client, "platform_version", "")),
        "memory": run.device.memory_stats(),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "jaxlib": jax.lib.__version__ if hasattr(jax, "lib") and hasattr(jax.lib, "__version__") else None,
        "mlsem_jax": ml.__version__,
        "dry run": run.dry,
    }


def attempt(part: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the part found and its seconds, or the error that ended it."""
    start = time.perf_counter()
    try:
        found = part()
    except Exception:  # whatever a device has to say: the other parts are still worth having
        found = {"error": traceback.format_exc(limit=-4)}
    return found | {"seconds": time.perf_counter() - start}


def main() -> int:
    """0 if every check passed, 1 if one did not, 2 without a GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--minutes", type=float, default=6.5, help="no part begins later than this")
    options = parser.parse_args()
    with jax.enable_x64(True):
        return run_all(options)


def run_all(options: argparse.Namespace) -> int:
    begun = time.perf_counter()
    run = Run(options.dry_run)
    if run.device.platform == "cpu" and not run.dry:
        print(
            "No GPU: JAX sees",
            jax.devices(),
            "- install jax[cuda12], or try the program with --dry-run.",
            file=sys.stderr,
        )
        return 2
    result: dict[str, Any] = {"versions": versions(run), "parts": {}}
    for name, part in parts(run).items():
        if time.perf_counter() - begun > 60 * options.minutes:
            result["parts"][name] = {"skipped": "no time left"}
        else:
            result["parts"][name] = attempt(part)
        print(name, json.dumps(result["parts"][name]), flush=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    checked = [found for name, found in result["parts"].items() if name.endswith("agree")]
    return 0 if all(found.get("passed") for found in checked) else 1


if __name__ == "__main__":
    sys.exit(main())
