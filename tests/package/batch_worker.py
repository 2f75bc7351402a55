"""Run in a process of its own by test_sharding.py: fits a fixed batch and saves the estimates.

python batch_worker.py OUT [ADDRESS PROCESSES INDEX]
"""

import sys

import jax
import numpy as np


def main(out: str, address: str = "", processes: str = "1", index: str = "0") -> None:
    if address:
        jax.distributed.initialize(address, int(processes), int(index))
    from tiny import SIZES, THETA, tiny_model

    import mlsem_jax as ml

    model = tiny_model()
    with jax.enable_x64(True):
        # drawn on one device by every process alike
        key = jax.device_put(jax.random.key(5), jax.local_devices()[0])
        stats = ml.simulate(model, THETA, key, SIZES, 20)
        stats = jax.tree.map(np.asarray, stats)
    end = ml.estimate_batch(model, stats, chisq=True, chunk=8)
    np.savez(
        f"{out}.{index}.npz",
        theta=end.theta,
        se=end.se,
        chisq=end.chisq,
        status=end.status,
        devices=jax.local_device_count(),
        processes=jax.process_count(),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
