"""The command line: the library's numbers, files of many kinds, and mistakes told in a sentence."""

import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax import _cache
from mlsem_jax.__main__ import main
from mlsem_jax.datasets import SCHOOLS_MODEL, load_schools
from mlsem_jax.files import read_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("cli")
    load_schools().to_csv(place / "schools.csv", index=False)
    (place / "model.txt").write_text(SCHOOLS_MODEL)
    return place


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    """Tests leave the user's cache and JAX's configuration alone."""
    monkeypatch.setattr(_cache, "enable_compilation_cache", lambda path=None: path)


def run(*words) -> int:
    return main([str(word) for word in words])


def test_fit_prints_the_librarys_summary_and_writes_the_files(folder, capsys):
    files = {"--json": folder / "fit.json", "--csv": folder / "estimates.csv", "--report": folder / "report.html"}
    given = [word for pair in files.items() for word in pair]
    status = run("fit", folder / "model.txt", folder / "schools.csv", "--cluster", "school", "--standardized", *given)
    out, err = capsys.readouterr()
    assert status == 0
    fit = ml.sem(SCHOOLS_MODEL, load_schools(), cluster="school")
    assert out.strip() == str(fit.summary(fit_measures=True, standardized=True)).strip()
    assert "2235 rows" in err
    assert ml.load(files["--json"]).loglik == pytest.approx(fit.loglik, abs=1e-8)
    table = pd.read_csv(files["--csv"])
    assert table.est.to_numpy() == pytest.approx(fit.parameter_estimates().est.to_numpy(), abs=1e-9)
    assert "</html>" in files["--report"].read_text()


def test_options_reach_the_fit(folder, capsys):
    run(
        "fit",
        folder / "model.txt",
        folder / "schools.csv",
        "--cluster",
        "school",
        "--estimator",
        "MLR",
        "--std-lv",
        "-q",
    )
    out, err = capsys.readouterr()
    assert "Sandwich" in out
    assert re.search(r"  \.?math +1\.000 *$", out, re.M)
    assert err == ""


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_designs_reach_the_fit(folder, capsys):
    data = load_schools()
    data["w"], number = 1.0 + data.index % 3, pd.factorize(data.school)[0]
    data["stratum"] = np.maximum(number, 1) // 2  # the first holds one school
    data.loc[number == 1, "stratum"] = 1
    data.to_csv(folder / "survey.csv", index=False)
    (folder / "one.txt").write_text("f =~ math1 + math2 + math3 + reading1")
    words = ["--sampling-weights", "w", "--sampling-weights-normalization", "none", "--strata", "stratum"]
    files = ["--cluster", "school", "--json", folder / "survey.json", "-q"]
    assert run("fit", folder / "one.txt", folder / "survey.csv", *words, *files) == 2
    assert "pass lonely='adjust'" in capsys.readouterr().err
    assert run("fit", folder / "one.txt", folder / "survey.csv", *words, "--lonely", "adjust", *files) == 0
    fit = ml.sem(
        "f =~ math1 + math2 + math3 + reading1",
        data,
        "school",
        sampling_weights="w",
        sampling_weights_normalization="none",
        strata="stratum",
        lonely="adjust",
    )
    assert np.allclose(ml.load(folder / "survey.json").vcov(), fit.vcov(), rtol=1e-6)


def test_plausible_values_are_pooled(folder, capsys):
    data = load_schools()
    spread = np.random.default_rng(1).normal(0, 0.3, (2, len(data)))
    data = data.assign(PV1=data.math1 + spread[0], PV2=data.math1 + spread[1])
    data.to_csv(folder / "plausible.csv", index=False)
    text = "level: 1\nmath ~ ses\nlevel: 2\nmath ~ public"
    (folder / "plausible.txt").write_text(text)
    words = ("fit", folder / "plausible.txt", folder / "plausible.csv", "--cluster", "school")
    status = run(*words, "--plausible-values", "math=PV1,PV2", "--csv", folder / "pooled.csv")
    out, err = capsys.readouterr()
    assert status == 0, err
    fit = ml.sem(text, data, cluster="school", plausible_values={"math": ["PV1", "PV2"]})
    assert out.strip() == str(fit.summary(fit_measures=True)).strip()
    assert "2 fits pooled" in err
    assert pd.read_csv(folder / "pooled.csv").riv.notna().any()
    for wrong, told in (
        (("math",), "write NAME=COLUMN"),
        (("math=PV1", "--json", folder / "f.json"), "--json is of a single fit"),
    ):
        assert run(*words, "--plausible-values", *wrong) == 2
        assert told in capsys.readouterr().err


def test_a_parameter_table_is_a_model(folder, capsys):
    fit = ml.sem(SCHOOLS_MODEL, load_schools(), cluster="school")
    table = fit.parameter_estimates()
    table["ustart"] = table.est.where(table.free == 0)
    table.to_csv(folder / "table.csv", index=False)
    assert run("fit", folder / "table.csv", folder / "schools.csv", "--cluster", "school", "-q") == 0
    assert f"{fit.loglik:.3f}" in capsys.readouterr().out


def test_demo(capsys):
    assert run("demo", "-q") == 0
    assert "achievement =~" in capsys.readouterr().out


def test_simulated_data_have_the_design_and_the_values_of_the_fit(folder, capsys):
    fit = ml.sem(SCHOOLS_MODEL, load_schools(), cluster="school")
    saved = fit.save(folder / "population.json")
    assert run("simulate", saved, "--out", folder / "a.csv", "--seed", 5, "-q") == 0
    same = pd.read_csv(folder / "a.csv")
    assert list(same) == ["school", *fit.specification.variables]
    assert len(same) == 2235
    assert same.school.nunique() == 100
    run("simulate", saved, "--out", folder / "b.csv", "--clusters", 400, "--size", 30, "--datasets", 2)
    big = pd.read_csv(folder / "b_2.csv")
    assert not pd.read_csv(folder / "b_1.csv").equals(big)
    again = ml.sem(SCHOOLS_MODEL, big, cluster="school")
    # twelve thousand rows: within slopes have standard errors near 0.01; four of them
    assert again.coef()["math~ses"] == pytest.approx(fit.coef()["math~ses"], abs=0.04)
    assert run("simulate", saved, "--out", folder / "c.csv", "--clusters", 10) == 2
    assert "--size" in capsys.readouterr().err
    assert run("simulate", saved, "--out", folder / "c.csv", "--clusters", 10**6, "--size", 10**6) == 2
    assert "more than 100,000,000 rows" in capsys.readouterr().err
    assert run("simulate", saved, "--out", saved) == 2
    assert "is read by this command" in capsys.readouterr().err
    assert run("simulate", folder / "nowhere.json", "--out", folder / "c.csv") == 2
    assert "There is no file" in capsys.readouterr().err


def test_montecarlo_prints_the_study(folder, capsys):
    fit = ml.sem("level: 1\nmath1 ~ ses\nlevel: 2\nmath1 ~ public", load_schools(), cluster="school")
    saved = fit.save(folder / "small.json")
    given = ["--clusters", 40, "--size", 10, "--datasets", 20, "--profile", "--csv", folder / "study.csv", "-q"]
    assert run("montecarlo", saved, *given) == 0
    assert "20 data sets" in capsys.readouterr().out
    table = pd.read_csv(folder / "study.csv", index_col=0)
    assert table.loc["math1~ses", "true"] == pytest.approx(fit.coef()["math1~ses"])
    assert 0.5 < table.loc["math1~ses", "coverage.profile"] <= 1
    # forty clusters of ten: twenty estimates with a standard deviation near 0.06, so four errors of their mean
    assert table.loc["math1~ses", "bias"] == pytest.approx(0, abs=4 * table.loc["math1~ses", "bias.mcse"])


def test_without_a_maximum_the_status_is_1(folder, capsys, monkeypatch):
    original = ml.sem
    monkeypatch.setattr(ml, "sem", lambda *a, **k: original(*a, **k, iter_max=1))
    assert run("fit", folder / "model.txt", folder / "schools.csv", "--cluster", "school") == 1
    assert "did NOT converge" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": "nowhere.csv"}, "There is no file"),
        ({"model": "nowhere.txt"}, "There is no file"),
        ({"cluster": "schol"}, "Did you mean 'school'"),
        ({"text": SCHOOLS_MODEL.replace("math2", "mth2", 1)}, "Did you mean 'math2'"),
        ({"text": SCHOOLS_MODEL.replace("level: 1", "level 1:")}, "level: 1"),
        ({"data": "model.txt"}, "model.txt holds a model, not a table: it has a line 'level: 1'"),
        ({"data": "picture.png"}, "cannot be read. Known: "),
        ({"extra": ["--estimator", "WLS"]}, "'WLS'"),
        ({"data": "empty.csv"}, "empty.csv is empty."),
        ({"data": "book.xlsx"}, "Save the sheet with the data as CSV"),
        ({"data": "."}, "is a folder"),
        ({"data": "bytes.csv"}, "error: bytes.csv holds no text"),
        ({"model": "."}, "is a folder; a model is a text file"),
        ({"model": "schools.csv"}, "schools.csv is no parameter table"),
        ({"model": "bytes.csv.txt"}, "mlsem fit MODEL DATA"),
        ({"extra": ["--report", "no/such/folder/report.html"]}, "There is no folder no/such/folder"),
        ({"extra": ["--json", "/"]}, "/ is a folder"),
        ({"extra": ["--cache", "model.txt"]}, "--cache: model.txt is a file"),
    ],
)
def test_mistakes_are_told_without_a_traceback(folder, capsys, change, words, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "picture.png").write_bytes(b"x")
    (folder / "book.xlsx").write_bytes(b"x")
    (folder / "empty.csv").touch()
    (folder / "bytes.csv").write_bytes(bytes(range(256)))
    (folder / "bytes.csv.txt").write_bytes(bytes(range(256)))
    model = folder / change.get("model", "model.txt")
    if "text" in change:
        model = folder / "changed.txt"
        model.write_text(change["text"])
    data = folder / change.get("data", "schools.csv")
    status = run("fit", model, data, "--cluster", change.get("cluster", "school"), *change.get("extra", []))
    out, err = capsys.readouterr()
    assert status == 2
    assert out == ""
    assert words in err
    assert "Traceback" not in err


def test_text_in_a_numeric_column_is_named(folder, capsys):
    data = load_schools().astype({"math2": object})
    data.loc[7, "math2"] = "absent"
    data.to_csv(folder / "text.csv", index=False)
    assert run("fit", folder / "model.txt", folder / "text.csv", "--cluster", "school") == 2
    err = capsys.readouterr().err
    assert "math2" in err
    assert "absent" in err
    assert "--na CODE" in err


def test_categories_are_no_codes_of_missing_values(folder, capsys):
    load_schools().assign(girl=lambda d: d.girl.map({0: "boy", 1: "girl"})).to_csv(folder / "words.csv", index=False)
    assert run("fit", folder / "model.txt", folder / "words.csv", "--cluster", "school") == 2
    err = capsys.readouterr().err
    assert "indicators" in err
    assert "--na" not in err


def test_files_are_written_though_the_reader_of_the_summary_leaves(folder):
    command = [
        sys.executable,
        "-m",
        "mlsem_jax",
        "fit",
        folder / "model.txt",
        folder / "schools.csv",
        "--cluster",
        "school",
    ]
    command += ["--json", folder / "piped.json", "--no-cache"]
    process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    assert process.wait(timeout=240) == 0
    assert ml.load(folder / "piped.json").converged


def test_codes_of_missing_values(folder, capsys):
    data = load_schools()
    data.loc[[3, 9], "math1"] = -99
    data.to_csv(folder / "coded.csv", index=False)
    run("fit", folder / "model.txt", folder / "coded.csv", "--cluster", "school", "--na", "-99", "-q")
    assert re.search(r"Number of observations +2233 +2235", capsys.readouterr().out)
    data.loc[[4], "math1"] = -98
    data.to_csv(folder / "coded.csv", index=False)
    files = folder / "model.txt", folder / "coded.csv"
    for codes in (("--na=-99,-98", *files), ("--na", "-99,-98", *files), (*files, "--na", "x", "-98,-99")):
        run("fit", *codes, "--cluster", "school", "-q")
        assert re.search(r"Number of observations +2232 +2235", capsys.readouterr().out), codes


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.csv.gz", lambda d, p: d.to_csv(p, index=False)),
        ("a.tsv", lambda d, p: d.to_csv(p, index=False, sep="\t")),
        ("quoted.csv", lambda d, p: d.to_csv(p, index=False, decimal=",")),
        ("utf16.csv", lambda d, p: d.to_csv(p, index=False, encoding="utf-16")),
        ("western.csv", lambda d, p: d.to_csv(p, index=False, encoding="cp1252")),
        ("semicolon.csv", lambda d, p: d.to_csv(p, index=False, sep=";", decimal=",")),
        ("blanks.dat", lambda d, p: d.to_csv(p, index=False, sep=" ")),
        ("a.parquet", lambda d, p: d.to_parquet(p)),
        ("a.feather", lambda d, p: d.to_feather(p)),
        ("a.dta", lambda d, p: d.to_stata(p, write_index=False)),
    ],
)
def test_every_format_gives_the_same_table(tmp_path, name, write):
    data = load_schools().head(40)
    data["school"] = "Grundschüle " + data["school"]
    write(data, tmp_path / name)
    pd.testing.assert_frame_equal(read_table(tmp_path / name), data, check_dtype=False)


def test_spss_files(tmp_path):
    pyreadstat = pytest.importorskip("pyreadstat")
    data = load_schools().head(40)
    pyreadstat.write_sav(data, tmp_path / "a.sav")
    pd.testing.assert_frame_equal(read_table(tmp_path / "a.sav"), data, check_dtype=False)


def test_a_missing_reader_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.rds").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "pyreadr", None)
    with pytest.raises(ml.DataError, match=r"need pyreadr: pip install 'mlsem_jax\[io\]'"):
        read_table(tmp_path / "a.rds")


def test_advice_on_the_covariates_is_in_the_words_of_the_command_line(folder, capsys, tmp_path):
    data = load_schools()
    data.loc[::9, "ses"] = np.nan
    data.to_csv(tmp_path / "holes.csv", index=False)
    run("fit", folder / "model.txt", tmp_path / "holes.csv", "--cluster", "school", "--missing", "ml")
    assert "On the command line: --random-x." in capsys.readouterr().err


def test_usage(capsys):
    with pytest.raises(SystemExit) as stop:
        run("fit", "model.txt")
    assert stop.value.code == 2
    with pytest.raises(SystemExit) as stop:
        run("--version")
    assert stop.value.code == 0
    assert ml.__version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "fit .*Fit a model of two levels"),
        (["fit", "m.txt", "d.csv", "--save", "f.json"], "no option --save; --json, --csv and --report write files"),
        (["fit", "m.txt", "d.csv", "--clustr", "school"], "no option --clustr. Did you mean '--cluster'"),
        (["fit", "m.txt", "d.csv", "more.csv"], "too many words: more.csv"),
        (["fit", "{schools}", "m.txt"], "model comes first, then the data"),
        (["fit", "{model}", "{schools}"], "On the command line: --cluster COLUMN"),
        (["fit", "{model}", "{schools}", "--cluster", "schol"], "Did you mean 'school'"),
    ],
)
def test_what_a_beginner_types(folder, capsys, words, told):
    places = {"{model}": str(folder / "model.txt"), "{schools}": str(folder / "schools.csv")}
    try:
        status = run(*(places.get(word, word) for word in words))
    except SystemExit as end:
        status = end.code
    assert status == 2
    err = capsys.readouterr().err
    assert re.search(told, err, re.S), err
    assert "unrecognized" not in err


def test_help_is_quick():
    """No JAX, no pandas for a question about usage."""
    code = (
        "import sys; from mlsem_jax.__main__ import parser; parser().format_help();"
        "assert not {'jax', 'pandas'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_whole_numbers_in_the_first_rows_do_not_hide_decimal_commas(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("school;y;note\n1;2;a\n1;3;1,2\n2;2,5;b\n")
    assert read_table(path)["y"].tolist() == [2.0, 3.0, 2.5]
    path.write_text("school;y;note\n1;2.25;a\n1;3.5;1,2\n")  # commas in a remark are no decimal signs
    assert read_table(path)["y"].tolist() == [2.25, 3.5]


def test_thousands_are_read_as_thousands_and_said(tmp_path, capsys):
    r = np.random.default_rng(1)
    school, u = np.repeat(np.arange(80), 15), r.normal(size=80)
    income = np.exp(7 + 0.6 * u[school] + 0.7 * r.normal(size=1200)).round().astype(int)
    score = (50 + 5 * u[school] + 0.004 * income + 8 * r.normal(size=1200)).round().astype(int)
    data = pd.DataFrame({"school": school, "score": score, "income": income})
    (tmp_path / "m.txt").write_text("level: 1\n score ~ income\nlevel: 2\n score ~ income\n")
    data.assign(income=[f"{value:,}" for value in income]).to_csv(tmp_path / "d.csv", index=False)
    files = [tmp_path / "m.txt", tmp_path / "d.csv"]
    assert run("fit", "--na", -99, *files, "--cluster", "school", "-q", "--csv", tmp_path / "e.csv") == 0
    assert re.search(r"note: column 'income': '\d,\d{3}' is read as \d{4} ", capsys.readouterr().err)
    slope = pd.read_csv(tmp_path / "e.csv").query("op == '~'").est.iloc[0]
    assert slope == pytest.approx(
        ml.sem((tmp_path / "m.txt").read_text(), data, cluster="school").coef().iloc[0], abs=1e-8
    )
    assert slope == pytest.approx(0.0042, abs=5e-5)
    assert run("fit", *files, "--cluster", "school", "--csv", files[1]) == 2
    assert "is read by this command" in capsys.readouterr().err
    data.assign(income=[f"{value:,}" for value in income + 1000]).to_csv(tmp_path / "d.csv", index=False)
    assert run("fit", *files, "--cluster", "school") == 2
    assert "On the command line: --decimal . where they separate thousands" in capsys.readouterr().err


def test_what_the_data_warn_of_is_said_before_the_fit(folder, capsys, monkeypatch):
    data = load_schools()
    data.loc[[3, 9], "math1"] = 99999
    data.to_csv(folder / "coded.csv", index=False)
    said = []
    monkeypatch.setattr(
        "mlsem_jax.fronts._fit_text.estimate_model", lambda *a, **k: said.append(capsys.readouterr().err) or 1 / 0
    )
    run("fit", folder / "model.txt", folder / "coded.csv", "--cluster", "school", "-q")
    assert "mlsem: note: The value 99999 stands apart from all other values of 'math1' (2 rows)" in said[0]
