"""The published simulation, a small part of it: the script runs and its figures are those that are known exactly."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from conftest import reference_root

import mlsem_jax as ml

PATH = Path(__file__).parents[2] / "examples" / "long_or_wide.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("long_or_wide", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.timeout(300)
def test_a_small_run_agrees_with_the_exact_figures(script, capsys, tmp_path):
    folder = reference_root() / "published" / "lf_wf_sem"
    if not folder.exists():
        pytest.skip(f"{folder} is absent: set MLSEM_REFERENCE to the folder of reference results")
    table = script.main(
        [
            "--p",
            "2",
            "--cells",
            "3",
            "--replications",
            "200",
            "--reference",
            str(folder),
            "--csv",
            str(tmp_path / "z.csv"),
        ]
    )
    printed = capsys.readouterr().out
    assert table["condition"].nunique() == 3
    assert "3 designs x 200 data sets" in printed
    # 21 z-values; Monte-Carlo errors of rare events over 200 data sets are not quite normal
    assert np.all(np.abs(table["z_exact"]) < 4.5)
    assert (tmp_path / "z.csv").exists()
    # as many variables as clusters is refused in words
    assert "2 variables in 2 clusters: The likelihood has no maximum" in printed
    assert ml.Status.NO_MAXIMUM.sentence in printed


def test_without_the_published_figures_it_says_so(script, capsys, tmp_path):
    assert script.main(["--reference", str(tmp_path)]) is None
    assert f"not at {tmp_path}" in capsys.readouterr().out
