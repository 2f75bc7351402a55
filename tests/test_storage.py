"""Fits as files: all bits come back, and what is not a fit is refused with the place where it departs."""

import json

import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax.datasets import SCHOOLS_MODEL, load_schools

MODEL = """
level: 1
  math =~ math1 + a*math2 + math3
level: 2
  math_b =~ math1 + a*math2 + c*math3
c == a^2 - 0.1*exp(a)
twice := 2*a
"""


@pytest.fixture(scope="module")
def robust():
    return ml.sem(SCHOOLS_MODEL, load_schools(), cluster="school", estimator="MLR")


@pytest.fixture
def record(robust, tmp_path):
    return json.loads(robust.save(tmp_path / "fit.json").read_text())


def reload(record, tmp_path):
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(record))
    return ml.load(path)


@pytest.mark.parametrize("name", ["fit.json", "fit.json.gz"])
def test_everything_that_needs_no_rows_comes_back(robust, tmp_path, name):
    again = ml.load(robust.save(tmp_path / name))
    pd.testing.assert_frame_equal(again.vcov(), robust.vcov(), check_exact=True)
    pd.testing.assert_series_equal(again.fit_measures(), robust.fit_measures(), check_exact=True)
    assert str(again.summary(fit_measures=True)) == str(robust.summary(fit_measures=True))
    assert (again.text, again.function, again.warnings) == (robust.text, robust.function, robust.warnings)
    assert (again.nobs, again.nclusters, again.loglik) == (robust.nobs, robust.nclusters, robust.loglik)


def test_groups_constraints_and_failures_come_back(tmp_path):
    data = load_schools().assign(kind=lambda d: d.public.map({1: "public", 0: "private"}))
    fit = ml.sem(MODEL, data, cluster="school", group="kind")
    again = ml.load(fit.save(tmp_path / "fit.json"))
    assert again.specification == fit.specification
    assert str(again.summary()) == str(fit.summary())
    pd.testing.assert_frame_equal(again.vcov(), fit.vcov(), check_exact=True)


def test_the_file_is_strict_json_with_readable_estimates(record):
    assert record["versions"]["mlsem_jax"] == ml.__version__
    row = next(r for r in record["estimates"] if r["parameter"] == "math~ses")
    assert row["est"] == pytest.approx(0.4293, abs=1e-3)

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    json.loads(json.dumps(record), parse_constant=refuse)


def test_network_models_come_back(tmp_path):
    names = ["math1", "math2", "math3", "reading1"]
    fit = ml.ml_ggm(load_schools(), clusters="school", vars=names).fit().prune()
    again = ml.load(fit.save(tmp_path / "fit.json"))
    pd.testing.assert_frame_equal(again.parameters(), fit.parameters())
    pd.testing.assert_frame_equal(again.getmatrix("omega_within"), fit.getmatrix("omega_within"))
    assert str(again.log) == str(fit.log)


def change_estimate(record):
    record["estimates"][4]["est"] += 1e-4


def change_class(record):
    record["estimation"]["reduction"]["statistics"]["record"] = "subprocess.Popen"


def add_field(record):
    record["estimation"]["reduction"]["statistics"]["extra"] = 1


def change_shape(record):
    record["estimation"]["model"]["maximum"]["theta"]["shape"] = [3]


def put_text_in_array(record):
    record["estimation"]["model"]["maximum"]["theta"]["array"][0] = "x"


def drop_part(record):
    del record["estimation"]["model"]


def another_format(record):
    record["format"] = "pickle"


def newer_format(record):
    record["format_version"] = 99


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (change_estimate, "listed estimate of"),
        (change_class, "Popen' is no record"),
        (add_field, "extra"),
        (change_shape, "do not agree"),
        (put_text_in_array, "no number"),
        (drop_part, "incomplete or damaged"),
        (another_format, "not a fit"),
        (newer_format, "this version reads format 1"),
    ],
)
def test_damaged_files_are_refused(record, tmp_path, damage, words):
    damage(record)
    with pytest.raises(ValueError, match=words):
        reload(record, tmp_path)


def test_not_json(tmp_path):
    path = tmp_path / "fit.json"
    path.write_bytes(b"\x80\x04N.")
    with pytest.raises(ValueError, match="not a JSON file"):
        ml.load(path)


def test_codec_keeps_what_json_has_no_word_for():
    from mlsem_jax.report._codec import decode, encode

    value = (np.nan, np.inf, -np.inf, 0.1 + 0.2, None, True, ("a", 1), {"k": np.array([[1.5, np.nan]])})
    again = decode(json.loads(json.dumps(encode(value), allow_nan=False)))
    np.testing.assert_equal(again[:-1], value[:-1])
    np.testing.assert_equal(again[-1]["k"], value[-1]["k"])
