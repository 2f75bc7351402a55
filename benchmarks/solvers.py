"""Do the three solvers agree? Every stored reference case is fitted by scoring, EM and BFGS.

    python benchmarks/solvers.py [--only TEXT] [--json FILE]

For each case: the largest difference of estimates from those of scoring, relative to 1 or the estimate, whichever is larger, and
what the fit said where a method handed over (EM cannot leave the positive definite between covariance matrices). Exit status 1
where a method that ended by itself disagrees by more than 1e-6.
"""

from __future__ import annotations

import argparse
import gzip
import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import mlsem_jax as ml

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "reference"
AGREEMENT = 1e-6


def fitted(case: dict, data: pd.DataFrame, method: str) -> ml.Fit:
    """The case by one method, without what does not depend on it."""
    options = {k: v for k, v in case["args"].items() if k not in ("test", "optim_method")}
    options |= {"optim_method": method, "h1": False, "baseline": False}
    if options.get("estimator") in ("MLR", "MLM"):
        del options["estimator"]
    return getattr(ml, case["function"])(case["model"], data, **options)


def compare(case: dict) -> dict:
    """Differences from scoring by method, and the sentences of hand-overs."""
    data = pd.read_csv(FOLDER / "data" / case["data"])
    scoring = fitted(case, data, "scoring")
    between = scoring.estimation.model.moments.between_cov
    exists = np.diagonal(between, axis1=1, axis2=2) != 0
    blocks = [b[np.ix_(e, e)] for b, e in zip(between, exists, strict=True)]
    out: dict = {
        "smallest eigenvalue of Sigma_B": float(min(np.linalg.eigvalsh(b).min(initial=np.inf) for b in blocks)),
        "constraints beyond linear equalities": bool(scoring.estimation.model.build.nonlinear),
    }
    for method in ("em", "bfgs"):
        fit = fitted(case, data, method)
        one, other = fit.coef().to_numpy(), scoring.coef().to_numpy()
        out[method] = {
            "difference": float(np.max(np.abs(one - other) / np.maximum(1.0, np.abs(other)))),
            "logl": fit.loglik - scoring.loglik,
            "status": fit.status.name,
            "said": [note for note in fit.estimation.model.notes if f"optim_method='{method}'" in note],
        }
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    result, wrong = {}, []
    for path in sorted((FOLDER / "lavaan").glob("*.json.gz")):
        case = json.loads(gzip.decompress(path.read_bytes()))
        if options.only not in case["name"]:
            continue
        found = result[case["name"]] = compare(case)
        for method in ("em", "bfgs"):
            told, difference = found[method]["said"], found[method]["difference"]
            print(
                f"{case['name']:32s} {method:5s} {difference:8.1e}  {found[method]['status']}  {' '.join(told)}",
                flush=True,
            )
            if difference > AGREEMENT and not told:
                wrong.append(f"{case['name']} {method}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{len(result)} cases; disagreements: {', '.join(wrong) or 'none'}")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
