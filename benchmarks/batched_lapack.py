"""Whether batched LAPACK calls that may run at the same time in one CPU program come back, with the jaxlib installed.

    python benchmarks/batched_lapack.py [--tries N] [--limit SECONDS]

Two triangular solves and a Cholesky factor of 5000 matrices of 20 x 20 in one jitted program, each try a process of its own that
is stopped after the limit. With jaxlib 0.10 on two cores none comes back, at 0 % CPU; why nothing that may be vmapped calls LAPACK
(`mlsem_jax/numerics/_sweep.py`).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

PROGRAM = """
import jax, jax.numpy as jnp, numpy as np, time
jax.config.update("jax_enable_x64", True)
rng = np.random.default_rng(0)
a = rng.normal(size=(5000, 20, 20))
a = jnp.asarray(a @ a.swapaxes(-1, -2) + 20 * np.eye(20))
lower = jnp.asarray(np.linalg.cholesky(np.asarray(a)))
b = jnp.asarray(rng.normal(size=(5000, 20, 20)))
solve = jax.scipy.linalg.solve_triangular

@jax.jit
def program(a, lower, b):
    return solve(lower, b, lower=True).sum() + solve(lower, 2 * b, lower=True).sum() + jnp.linalg.cholesky(a).sum()

times = []
for _ in range(20):
    start = time.perf_counter()
    program(a, lower, b).block_until_ready()
    times.append(time.perf_counter() - start)
print(f"{1e3 * sorted(times)[10]:.0f}")
"""


def one(limit: float) -> str:
    """What one process says: its median time in ms, or that it was stopped."""
    start = time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return f"did not come back in {limit:.0f} s"
    took = time.perf_counter() - start
    return f"{done.stdout.strip()} ms a call ({took:.0f} s in all)" if done.returncode == 0 else done.stderr[-300:]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--tries", type=int, default=3)
    arguments.add_argument("--limit", type=float, default=60.0)
    given = arguments.parse_args()
    import jaxlib

    for number in range(given.tries):
        print(f"jaxlib {jaxlib.__version__}, try {number + 1}: {one(given.limit)}", flush=True)


if __name__ == "__main__":
    main()
