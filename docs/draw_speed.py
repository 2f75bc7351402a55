"""Draw the bar chart of the first screen from the results of the benchmarks.

python docs/draw_speed.py
"""

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

FOLDER = Path(__file__).parent / "pictures"
RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "run.json"
BLUE, GREY = "#0072B2", "#767676"
# job of benchmarks/run.py, and what it is called in the picture
JOBS = {
    "tutorial": "two-level SEM of lavaan's tutorial",
    "tutorial, MLR": "... with robust standard errors",
    "tutorial, 15 % missing": "... with 15 % missing values",
    "20 indicators, 4+4 factors, 300 clusters": "20 indicators, 4 + 4 factors",
    "p = 20 saturated at both levels": "20 variables, no restrictions",
}
# benchmarks/networks.py, of which benchmarks/README.md has the numbers: seconds of psychonetrics, and here
NETWORK = ("Gaussian networks at both levels", 1.0, 0.018)


def rows() -> list[tuple[str, str, float, float]]:
    """Label, program, its seconds, and ours."""
    warm = json.loads(RESULTS.read_text())["warm"]
    found = [(label, "lavaan", warm[job]["lavaan"], warm[job]["warm"]) for job, label in JOBS.items()]
    return [*found, (NETWORK[0], "psychonetrics", *NETWORK[1:])]


def draw() -> plt.Figure:
    figure, ax = plt.subplots(figsize=(7.2, 3.0), layout="constrained")
    for place, (_, program, theirs, ours) in enumerate(rows()):
        ratio = theirs / ours
        ax.barh(-place, ratio, height=0.62, color=BLUE)
        ax.text(
            ratio + 2,
            -place,
            f"{ratio:.0f} x   {program} {theirs:.2g} s, here {1000 * ours:.0f} ms",
            va="center",
            fontsize=8,
        )
    ax.set_yticks([-i for i in range(len(rows()))], [row[0] for row in rows()], fontsize=9)
    ax.set_xlim(0, 1.65 * max(theirs / ours for _, _, theirs, ours in rows()))  # room for the last label
    ax.set_xlabel(
        "times faster, from the data frame to estimates and fit measures\n"
        f"(warm, 2 cores, {json.loads(RESULTS.read_text())['date']})",
        fontsize=8,
        color=GREY,
    )
    ax.tick_params(axis="y", length=0)
    ax.tick_params(axis="x", labelsize=8)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    return figure


if __name__ == "__main__":
    with plt.rc_context({"svg.hashsalt": "speed", "svg.fonttype": "path"}):
        figure = draw()
        figure.savefig(FOLDER / "speed.svg", metadata={"Date": None}, facecolor="white")
