"""Draw the pictures of the gallery page.

python docs/draw_pictures.py
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

import mlsem_jax as ml
from mlsem_jax.datasets import SCHOOLS_MODEL, load_schools

FOLDER = Path(__file__).parent / "pictures"
PICTURES = {
    "path_within": ("path", {"level": 1, "standardized": True}),
    "path_between": ("path", {"level": 2, "standardized": True}),
    "estimates": ("estimates", {"ops": ["=~", "~"], "standardized": True}),
    "residuals": ("residuals", {"level": 2}),
    "icc": ("icc", {}),
    "cluster_sizes": ("cluster_sizes", {}),
    "scores": ("scores", {"factor": "achievement"}),
    "trace": ("trace", {}),
}

if __name__ == "__main__":
    ml.enable_compilation_cache()
    FOLDER.mkdir(exist_ok=True)
    fit = ml.sem(SCHOOLS_MODEL, load_schools(), cluster="school")
    for name, (kind, options) in PICTURES.items():
        with plt.rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
            figure = fit.plot(kind, **options).figure
            figure.savefig(FOLDER / f"{name}.svg", metadata={"Date": None})
            plt.close(figure)
        print(FOLDER / f"{name}.svg")
