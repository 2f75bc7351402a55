"""The command line beyond `mlsem fit`: networks, options by name, completion, designs and files that are told."""

import argparse
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax import _cache
from mlsem_jax.__main__ import main, parser
from mlsem_jax.cli._completion import script
from mlsem_jax.cli._named import named_options, value_of
from mlsem_jax.cli._population import _population
from mlsem_jax.datasets import load_schools
from mlsem_jax.files import read_table

pytestmark = pytest.mark.timeout(300)
NAMES = ["math1", "math2", "math3"]


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    monkeypatch.setattr(_cache, "enable_compilation_cache", lambda path=None: path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("cli")
    load_schools().to_csv(place / "schools.csv", index=False)
    return place


def run(*words) -> int:
    return main([str(word) for word in words])


def test_a_network_is_the_librarys(folder, capsys):
    pytest.importorskip("matplotlib").use("Agg")
    files = ["--json", folder / "n.json", "--csv", folder / "n.csv", "--picture", folder / "n.png"]
    status = run("network", "--vars", *NAMES, folder / "schools.csv", "--clusters", "school", *files)
    out, err = capsys.readouterr()
    assert status == 0
    fit = ml.ml_ggm(load_schools(), clusters="school", vars=NAMES).fit()
    assert "omega_within" in out
    assert "omega_between" in out
    assert f"{fit.getmatrix('omega_within').iloc[0, 1]:.3f}" in out
    assert "2235 rows and 11 columns read" in err
    assert "separated by commas" in err
    assert ml.load(folder / "n.json").loglik == pytest.approx(fit.loglik, abs=1e-8)
    assert len(pd.read_csv(folder / "n.csv")) == len(fit.parameters())
    assert (folder / "n.png").stat().st_size > 1000


def test_factors_are_told_by_their_indicators(folder, capsys, monkeypatch):
    seen = {}

    def made(data, loadings, **options):
        seen.update(options, loadings=loadings)
        raise ml.ModelError("stop")

    monkeypatch.setattr(ml, "ml_lnm", made)
    words = [
        "--model",
        "lnm",
        "--factor",
        "m=math1,math2",
        "--factor",
        "r =~ reading1 + math2",
        "--set",
        "equal=lambda",
    ]
    assert run("network", folder / "schools.csv", "--clusters", "school", *words) == 2
    assert seen["vars"] == ["math1", "math2", "reading1"]
    assert seen["latents"] == ["m", "r"]
    assert seen["equal"] == "lambda"
    assert seen["loadings"].tolist() == [[1, 0], [1, 1], [0, 1]]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--model", "lnm"], "is of factors"),
        (["--factor", "f=math1,math2"], "has no factors"),
        (["--model", "lnm", "--factor", "f"], "write NAME=A,B,C"),
        (["--model", "lnm", "--factor", "f=math1,zz", "--vars", "math1"], "zz, which is not among --vars"),
        (["--alpha", "2"], "lies between 0 and 1"),
        (["--vars", "math1", "mth2"], "math2"),
        (["--set", "informaton=expected", "--vars", *NAMES], "informaton"),
        (["--set", "expected"], "write NAME=VALUE"),
        (["--csv", "/"], "is a folder"),
    ],
)
def test_mistakes(folder, capsys, words, told):
    assert run("network", folder / "schools.csv", "--clusters", "school", *words, "-q") == 2
    err = capsys.readouterr().err
    assert told in err
    assert "Traceback" not in err


def test_options_by_name(folder, capsys):
    (folder / "m.txt").write_text("level: 1\n math1 ~ ses\nlevel: 2\n math1 ~ public")
    files = [folder / "m.txt", folder / "schools.csv", "--cluster", "school", "-q"]
    assert run("fit", *files, "--set", "information=expected", "--set", "std-lv=true") == 0
    assert "Expected" in capsys.readouterr().out
    assert run("fit", *files, "--set", "informtion=expected") == 2
    assert "Did you mean 'information'" in capsys.readouterr().err
    assert run("fit", *files, "--estimator", "MLR", "--set", "estimator=ML") == 2
    assert "given twice" in capsys.readouterr().err


def test_values_of_options():
    assert [value_of(text) for text in ("true", "False", "none", "3", "0.5", "-1e-3", "MLR")] == [
        *(True, False, None, 3, 0.5, -1e-3, "MLR")
    ]
    assert value_of("loadings, intercepts") == ["loadings", "intercepts"]
    assert named_options(argparse.Namespace(set=["fixed.x=false"]), {}) == {"fixed_x": False}


def test_files_whose_layout_is_told(tmp_path, capsys):
    data = load_schools().head(30)
    data.to_csv(tmp_path / "a.txt", index=False, header=False, sep=":")
    names = list(data)
    found = []
    table = read_table(tmp_path / "a.txt", separator=":", names=names, found=found.append)
    pd.testing.assert_frame_equal(table, data, check_dtype=False)
    assert found == ["columns separated by ':'"]
    data.to_csv(tmp_path / "b.csv", index=False)
    for path, options, told in (
        ("a.txt", {"separator": ":", "names": names[:-1]}, "has 11 columns, and 10 names"),
        ("a.txt", {"separator": ":", "names": [*names[:-1], names[0]]}, "must be different"),
        ("b.csv", {"names": names}, "has a header"),
    ):
        with pytest.raises(ml.DataError, match=told):
            read_table(tmp_path / path, **options)
    (tmp_path / "m.txt").write_text("level: 1\n math1 ~ ses\nlevel: 2\n math1 ~ 1")
    words = ["--sep", ":", "--columns", ",".join(names), "--na", "-99"]
    run("fit", *words, tmp_path / "m.txt", tmp_path / "a.txt", "--cluster", "school")
    assert "30 rows and 11 columns read" in capsys.readouterr().err


def test_na_leaves_the_files_alone(folder, capsys):
    (folder / "m.txt").write_text("level: 1\n math1 ~ ses\nlevel: 2\n math1 ~ public")
    for words in (["--na", "-99", "-98"], ["--na", "-99", "--na", "absent"], ["--na=-99"], ["--na", "x"]):
        assert run("fit", *words, folder / "m.txt", folder / "schools.csv", "--cluster", "school", "-q") == 0, words


@pytest.mark.parametrize(
    ("size", "sizes"), [("20", [20] * 6), ("5-30", [5, 10, 15, 20, 25, 30]), ("5,10,40", [5, 10, 40, 5, 10, 40])]
)
def test_designs_need_not_be_balanced(folder, size, sizes, capsys):
    saved = folder / "fit.json"
    if not saved.exists():
        ml.sem("level: 1\nmath1 ~ ses\nlevel: 2\nmath1 ~ public", load_schools(), cluster="school").save(saved)
    found = _population(argparse.Namespace(fit=saved, clusters=6, size=size))
    assert found[2] == sizes
    assert run("simulate", saved, "--clusters", 6, "--size", size, "--out", folder / "s.csv", "-q") == 0
    assert np.sort(pd.read_csv(folder / "s.csv").school.value_counts()).tolist() == sorted(sizes)
    with pytest.raises(SystemExit):
        run("simulate", saved, "--clusters", "6", "--size", "many", "--out", folder / "s.csv")
    assert "a range such as '5-20'" in capsys.readouterr().err


def test_thousands_on_the_command_line():
    known = parser().parse_args(["montecarlo", "fit.json", "--datasets", "10,000"])
    assert known.datasets == 10_000
    with pytest.raises(SystemExit):
        parser().parse_args(["montecarlo", "fit.json", "--datasets", "10,00"])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["mlsem", "net"], {"network"}),
        (["mlsem", "fit", "--est"], {"--estimator"}),
        (["mlsem", "network", "--model", "l"], {"lnm", "lrnm", "lvm"}),
        (["mlsem", "fit", "--set", "em_iter"], {"em_iter_max="}),
        (["mlsem", "completion", "z"], {"zsh"}),
    ],
)
def test_bash_completes(words, expected, tmp_path):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    (tmp_path / "c.sh").write_text(script(parser(), "bash"))
    line = f"source {tmp_path / 'c.sh'}; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _mlsem"
    done = subprocess.run(
        [bash, "-c", line + '; echo "${COMPREPLY[@]}"'], capture_output=True, text=True, check=True, timeout=60
    )
    assert set(done.stdout.split()) == expected


def test_every_option_is_completed(capsys):
    for shell in ("bash", "zsh", "fish"):
        assert run("completion", shell) == 0
        text = capsys.readouterr().out
        for name in ("prune", "sampling-weights", "profile", "modindices"):
            assert name in text
