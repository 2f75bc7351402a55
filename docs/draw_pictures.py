"""Draw the pictures of the gallery page.

python docs/draw_pictures.py
"""

import re
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
    "profile": ("profile", {"parameter": "math1~~math1.l2"}),
}


def drawn_by(name):
    """The first picture of a page, by its own code."""
    page = (Path(__file__).parent / name).read_text(encoding="utf-8")
    space: dict = {}
    for code in re.findall(r"^```python\n(.*?)^```$", page, re.S | re.M):
        exec(code, space)
        if "ax" in space:
            return space["ax"]
    raise RuntimeError(f"docs/{name} draws nothing")


def of_page(name: str, call: str):
    """A picture of a page, by its own code up to the call that draws it."""
    page = (Path(__file__).parent / name).read_text(encoding="utf-8")
    space: dict = {}
    for kind, code in re.findall(r"^```(py|python)\n(.*?)^```$", page, re.S | re.M):
        if code.strip() == call:
            return eval(call, space)
        if kind == "python":
            exec(code, space)
    raise RuntimeError(f"docs/{name} does not draw {call}")


def of_studies():
    """The picture of the page on grids of conditions, of a thousand data sets a cell."""
    page = (Path(__file__).parent / "studies.md").read_text(encoding="utf-8")
    space: dict = {}
    for code in re.findall(r"^```python\n(.*?)^```$", page, re.S | re.M)[:3]:
        exec(code.replace("n_datasets=40", "n_datasets=1000"), space)
    return space["axes"][0, 0]


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
    boot = fit.bootstrap(2000, key=1)
    scores = ["math1", "math2", "math3", "reading1", "reading2", "reading3"]
    network = ml.ml_ggm(load_schools(), clusters="school", vars=scores).fit()
    study = ml.montecarlo(fit.model, fit.estimation.model.theta, [20] * 100, n_datasets=1000, key=1)
    for name, draw in {
        "study": of_studies,
        "imputations": lambda: drawn_by("imputations.md"),
        "weights": lambda: drawn_by("surveys.md"),
        "reliability": lambda: of_page("measurement.md", 'fit.plot("reliability")'),
        "invariance": lambda: of_page("measurement.md", 'groups.plot("loadings")'),
        "categories": lambda: of_page("ordinal.md", 'wls.plot("categories", item="u1")'),
        "thresholds": lambda: of_page("ordinal.md", 'wls.plot("thresholds")'),
        "bootstrap": lambda: boot.plot(boot.bootstrap.names[0]),
        "influence": fit.influence().plot,
        "networks": lambda: network.plot_network()[0],
        "montecarlo": lambda: study.plot("coverage"),
    }.items():
        with plt.rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
            figure = draw().figure
            figure.savefig(FOLDER / f"{name}.svg", metadata={"Date": None})
            plt.close(figure)
        print(FOLDER / f"{name}.svg")
