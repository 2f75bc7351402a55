"""Fits as files: all bits come back, and what is not a fit is refused with the place where it departs."""

import copy
import gzip
import json
import random
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax.datasets import SCHOOLS_MODEL, load_schools
from mlsem_jax.report import StorageError

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
    from mlsem_jax.report.exchange._codec import decode, encode

    value = (np.nan, np.inf, -np.inf, 0.1 + 0.2, None, True, ("a", 1), {"k": np.array([[1.5, np.nan]])})
    again = decode(json.loads(json.dumps(encode(value), allow_nan=False)))
    np.testing.assert_equal(again[:-1], value[:-1])
    np.testing.assert_equal(again[-1]["k"], value[-1]["k"])


# ---------------------------------------------------------------- files of version 0.1.0

OLD = Path(__file__).parent / "saved"


def test_fits_that_version_0_1_0_saved_are_read():
    fit = ml.load(OLD / "fit_0.1.0.json.gz")
    assert fit.loglik == pytest.approx(-355.24733280715685, abs=1e-9)
    assert fit.coef()["a"] == pytest.approx(0.779341, abs=1e-6)
    assert fit.parameter_estimates().query("label == 'a'")["se"].iloc[0] == pytest.approx(0.088706, abs=1e-6)
    assert fit.fit_measures()["chisq.scaled"] == pytest.approx(0.006844957742433558, abs=1e-8)
    assert "f =~" in str(fit.summary(fit_measures=True))
    network = ml.load(OLD / "network_0.1.0.json.gz")
    assert network.loglik == pytest.approx(-254.36540515380645, abs=1e-9)
    assert network.getmatrix("omega_within").loc["y2", "y1"] == pytest.approx(0.730482, abs=1e-6)
    assert "fixed omega_between[y2, y1] at 0" in str(network.log)
    assert "ggm" in repr(network.network)
    assert type(fit) is ml.Fit
    assert type(network) is ml.NetworkFit


def test_a_fit_read_from_an_old_file_is_saved_and_read_again(tmp_path):
    old = ml.load(OLD / "fit_0.1.0.json.gz")
    again = ml.load(old.save(tmp_path / "fit.json"))
    assert str(again.summary()) == str(old.summary())


# ---------------------------------------------------------------- files that are none


def test_what_is_no_file(tmp_path):
    deep, cut = tmp_path / "deep.json", tmp_path / "cut.json.gz"
    deep.write_text("[" * 200_000)
    cut.write_bytes((OLD / "fit_0.1.0.json.gz").read_bytes()[:2000])
    (tmp_path / "empty.json").write_bytes(b"")
    (tmp_path / "nan.json").write_text('{"format": NaN}')
    for path, words in (
        (None, "None is no path"),
        (5, "5 is no path"),
        ("", "is no path"),
        (tmp_path, "is a folder"),
        (tmp_path / "no.json", "There is no file"),
        (deep, "nested too deeply"),
        (cut, "cut off or damaged"),
        (tmp_path / "empty.json", "not a JSON file"),
        (tmp_path / "nan.json", "NaN is not JSON"),
    ):
        with pytest.raises(StorageError, match=words):
            ml.load(path)


@pytest.mark.parametrize("method", ["save", "report"])
def test_places_that_cannot_be_written_to(tmp_path, method):
    fit = ml.load(OLD / "fit_0.1.0.json.gz")
    for path, words in (
        (None, "None is no path"),
        (tmp_path, "is a folder"),
        (tmp_path / "no" / "x", "There is no folder"),
    ):
        with pytest.raises(StorageError, match=words):
            getattr(fit, method)(path)


def test_a_changed_number_is_found_by_the_checksum(record, tmp_path):
    statistics = record["estimation"]["reduction"]["statistics"]
    statistics["terms"]["tuple"][0]["data"]["mean"]["array"][3] += 1e-9
    with pytest.raises(StorageError, match="changed since it was saved"):
        reload(record, tmp_path)


def places(value, path=()):
    """Where the values of a record are; of long lists the first few."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(min(len(value), 4)):
            yield from places(value[key], (*path, key))


WRONG = (
    *(None, True, -1, 0, 7, 10**30, 1.5, 1e308, "", "x", [], {}, [[]]),
    *({"float": "nan"}, {"tuple": []}, {"map": []}, {"array": [], "shape": [0], "dtype": "float64"}),
    {"record": "models.Cell", "matrix": "psi", "row": 0, "col": 0},
)


def damaged(record, spots, rng):
    """The bytes of a file with one thing wrong: cut, overwritten, or one value lost, swapped or of another kind."""
    text = json.dumps(record).encode()
    kind = rng.random()
    if kind < 0.15:
        return text[: rng.randrange(len(text))]
    if kind < 0.3:
        packed = bytearray(gzip.compress(text) if kind < 0.22 else text)
        for _ in range(3):
            packed[rng.randrange(len(packed))] = rng.randrange(256)
        return bytes(packed)
    changed, path = copy.deepcopy(record), rng.choice(spots)
    inside = changed
    for key in path[:-1]:
        inside = inside[key]
    how = rng.random()
    if how < 0.2 and isinstance(inside, dict):
        del inside[path[-1]]
    elif how < 0.3 and isinstance(inside, dict):
        other = rng.choice(list(inside))
        inside[path[-1]], inside[other] = inside[other], inside[path[-1]]
    else:
        inside[path[-1]] = rng.choice(WRONG)
    return json.dumps(changed).encode()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["fit_0.1.0.json.gz", "network_0.1.0.json.gz"])
def test_damaged_files_end_in_a_storage_error_or_are_whole(tmp_path, name):
    """Seeded damage of every kind, without the checksum that would find it: refused at load, or the fit prints."""
    record = json.loads(gzip.decompress((OLD / name).read_bytes()))
    rng, path = random.Random(name), tmp_path / "damaged.json"
    spots = [spot for spot in places(record) if spot]
    refused = 0
    for _ in range(120):
        path.write_bytes(damaged(record, spots, rng))
        try:
            fit = ml.load(path)
        except StorageError:
            refused += 1
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert str(fit.summary(fit_measures=True))
    assert refused > 60
