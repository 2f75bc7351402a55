"""Files of data: how their text is written, and what is said of those that cannot be read."""

import gzip
import re

import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax.__main__ import parser
from mlsem_jax.data import notation, prepare
from mlsem_jax.files import read_table


@pytest.mark.parametrize(
    ("texts", "known"),
    [
        (["2,322", "910"], (".", ",", [2322, 910])),
        (["1,234,567", "2"], (".", ",", [1234567, 2])),
        (["1,234.5", "45.3"], (".", ",", [1234.5, 45.3])),
        (["-2,322", "45.3"], (".", ",", [-2322, 45.3])),
        (["2,32", "1"], (",", "", [2.32, 1])),
        (["0,123", "0,500"], (",", "", [0.123, 0.5])),
        (["1,2345", "-2,5e-3"], (",", "", [1.2345, -0.0025])),
        (["1.234,5", "2"], (",", ".", [1234.5, 2])),
        (["1.234.567", "1,5"], (",", ".", [1234567, 1.5])),
        (["2 322", "17.5"], (".", "", [2322, 17.5])),
        (["2'322.50", "1"], (".", "", [2322.5, 1])),
    ],
)
def test_notation_of_a_column(texts, known):
    found = notation(texts)
    assert found.certain
    assert found.decimal in (known[0], "")
    assert found.thousands == known[1]
    assert [found.number(text) for text in texts] == known[2]


@pytest.mark.parametrize("texts", [["2,322", "3,100"], ["2,322", "12345"], ["2.322", "1.100"]])
def test_what_may_be_either_is_not_certain(texts):
    found = notation(texts)
    assert not found.certain
    assert {found.read_with(sign).number(texts[0]) for sign in ".,"} == {2322, 2.322}


@pytest.mark.parametrize("texts", [[], [""], ["a", "1"], ["1,5", "2.5"], ["1,2,3"], ["1-2"], ["12,34,567"]])
def test_what_is_no_number(texts):
    assert notation(texts) is None


def read(tmp_path, text, name="a.csv", **options):
    notes = []
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(tmp_path / name, tell=notes.append, **options), notes


INCOME = ["2,322", "3,910", "1,100"]


@pytest.mark.parametrize(
    ("y", "income", "options", "values"),
    [
        ([2, 3, 1], ["2,322", "910", "1,100"], {}, [2322, 910, 1100]),
        ([2.5, 3, 1], INCOME, {}, [2322, 3910, 1100]),  # decimal points elsewhere
        (["2,5", "3", "1"], INCOME, {}, [2.322, 3.91, 1.1]),  # decimal commas elsewhere
        (["1,234,567", "3", "1"], INCOME, {}, [2322, 3910, 1100]),
        (["2,5", "3", "1"], ["2.322", "3.910", "1.100"], {}, [2322, 3910, 1100]),
        (["2,5", "3", "1"], ["2.322", "0.910", "1.100"], {}, [2.322, 0.91, 1.1]),
        ([2, 3, 1], ["2.322", "3.910", "1.100"], {}, [2.322, 3.91, 1.1]),
        ([2, 3, 1], INCOME, {"decimal": "."}, [2322, 3910, 1100]),
        ([2, 3, 1], INCOME, {"decimal": ","}, [2.322, 3.91, 1.1]),
    ],
)
@pytest.mark.parametrize("sep", [",", ";", "\t", "|"])
def test_commas_are_decided_over_the_whole_file(tmp_path, sep, y, income, options, values):
    text = pd.DataFrame({"school": [1, 1, 2], "y": y, "income": income}).to_csv(index=False, sep=sep)
    table, notes = read(tmp_path, text, **options)
    assert table.income.tolist() == values
    if not options and values[0] == 2322:
        assert any("'income'" in note and "2322" in note for note in notes)


def test_commas_that_nothing_decides_on_are_refused_where_the_model_needs_them(tmp_path):
    text = pd.DataFrame({"school": [1, 1, 2, 2], "y": [1, 2, 3, 5], "income": [*INCOME, "1,101"]}).to_csv(index=False)
    table, _ = read(tmp_path, text)
    assert prepare(table, cluster="school", within=("y",), between=("y",)).nrows == 4
    with pytest.raises(ml.DataError) as caught:
        prepare(table, cluster="school", within=("y", "income"), between=("y",))
    for words in (
        "separate thousands or decimals",
        "means 2322, use pandas.read_csv(..., thousands=',')",
        "means 2.322, use",
    ):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["2,322", "910"], ["commas between thousands", "thousands=','", "replace(',', '')"]),
        (["1.234,5", "2"], ["decimal=',', thousands='.'", "replace('.', '').str.replace(',', '.')"]),
        (["2,32", "1"], ["decimal commas", "decimal=','", "replace(',', '.')"]),
        (["2 322", "17"], ["gaps between thousands"]),
        (["2,322", "910", "refused"], ["'refused'", "stands for missing values", "replace('refused', None)"]),
    ],
)
def test_advice_on_a_column_of_text_is_right(texts, words):
    data = pd.DataFrame({"g": [1, 1, 2, 2] * 3, "y": np.arange(12.0), "x": (texts * 12)[:12]})
    with pytest.raises(ml.DataError) as caught:
        prepare(data, cluster="g", within=("y", "x"), between=("y",))
    assert all(word in str(caught.value) for word in words), caught.value
    assert "decimal=','" in str(caught.value) or texts[0] != "2,32"
    assert "coerce" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["1|2.5|3\n1|3|4\n", "1,2.5,3\n1,3,4\n", " 1  2.5 -99\n 1 3 4\n", "1;2,5;3\n", "1\t.\t3\n"]
)
def test_files_without_a_header(tmp_path, text):
    with pytest.raises(ml.DataError, match="has no header: its first line holds numbers"):
        read(tmp_path, text, "a.dat")


def test_a_first_line_of_ids_and_numbers_is_doubted(tmp_path):
    notes = read(tmp_path, "s1,2.5,3,-1\ns1,3,4,-2\n")[1]
    assert len(notes) == 1
    assert re.search(r"most of them are numbers \(2\.5, 3, -1\).*--columns a,b,c", notes[0]), notes
    assert read(tmp_path, "school,1,2,name\ns1,3,4,x\n")[1] == []


def test_layouts(tmp_path):
    expected = {"g": [1, 1], "y": [2.5, 3.0], "x": [3, 4]}
    ends, as_r_writes = "g,y,x\n1,2.5,3,\n1,3,4,\n", '"g" "y" "x"\n"1" 1 2.5 3\n"2" 1 3 4\n'
    for text in ("g|y|x\n1|2.5|3\n1|3|4\n", "g y x\n1 2.5 3\n1 3 4\n", ends, as_r_writes):
        assert read(tmp_path, text)[0].to_dict("list") == expected
    assert "more than one column called 'y'" in read(tmp_path, "g,y,y\n1,2,3\n")[1][0]
    with pytest.raises(ml.DataError, match="holds a model, not a table"):
        read(tmp_path, "# mine\nlevel: 1\n y ~ x\n", "a.txt")


def test_ids_of_a_long_file_are_of_one_type(tmp_path):
    """pandas reads such files in pieces, of which some hold numbers only."""
    lines = [f"{i // 10},{i % 7}.5" for i in range(300_000)]
    table, _ = read(tmp_path, "school,y\n" + "\n".join([*lines, "A7,1"]))
    assert set(map(type, table.school)) == {str}
    assert table.school.nunique() == 30_001


BROKEN = {
    "empty": lambda b: b"",
    "cut": lambda b: b[: len(b) // 2],
    "cut at the end": lambda b: b[:-9],
    "header only": lambda b: b[:12],
    "other bytes": lambda b: bytes(range(256)) * 3,
    "text": lambda b: b"g,y\n1,2\n",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The same table in files of many types."""
    folder = tmp_path_factory.mktemp("whole")
    data = pd.DataFrame({"g": np.repeat(np.arange(40), 5), "y": np.arange(200.0)})
    data.to_stata(folder / "a.dta", write_index=False)
    data.to_feather(folder / "a.feather")
    data.to_parquet(folder / "a.parquet")
    data.to_json(folder / "a.json")
    (folder / "a.csv.gz").write_bytes(gzip.compress(data.to_csv(index=False).encode()))
    for package, name, write in (("pyreadstat", "a.sav", "write_sav"), ("pyreadr", "a.rds", "write_rds")):
        module = pytest.importorskip(package)
        pair = (data, folder / name) if package == "pyreadstat" else (str(folder / name), data)
        getattr(module, write)(*pair)
    return folder


@pytest.mark.parametrize("ending", ["dta", "feather", "parquet", "json", "csv.gz", "sav", "rds", "sas7bdat", "xlsx"])
@pytest.mark.parametrize("way", BROKEN)
def test_damaged_files_are_refused_in_a_sentence(whole, tmp_path, ending, way):
    name = f"a.{ending}"
    source = whole / name
    content = BROKEN[way](source.read_bytes() if source.exists() else b"PK" * 50)
    with pytest.raises(ml.DataError, match=re.escape(name)):
        read(tmp_path, content, name)


@pytest.mark.parametrize("seed", range(4))
def test_bytes_changed_by_chance_end_in_a_table_or_a_sentence(whole, tmp_path, seed):
    r = np.random.default_rng(seed)
    for source in whole.iterdir():
        content = bytearray(source.read_bytes())
        for _ in range(8):
            content[r.integers(len(content))] = r.integers(256)
        try:
            read(tmp_path, bytes(content), source.name)
        except ml.DataError:  # anything else fails the test
            continue


@pytest.mark.parametrize(
    ("words", "na"),
    [
        ("--na -99 m.txt d.csv --cluster s", ["-99"]),
        ("--na -99 m.txt --cluster s d.csv", ["-99"]),
        ("m.txt --na -99 -1e5 d.csv --clus s", ["-99", "-1e5"]),
        ("--cluster=s m.txt d.csv --na -99 . refused -q", ["-99", ".", "refused"]),
        ("--na -99 --na -98 m.txt d.csv --cluster s", ["-99", "-98"]),
        ("--group-equal loadings m.txt d.csv --cluster s --na . -9", [".", "-9"]),
        ("--na=-99 --cluster s -- m.txt d.csv", ["-99"]),
        ("m.txt d.csv --cluster s", []),
    ],
)
def test_codes_of_missing_values_leave_the_files_alone(words, na):
    read = parser().parse_args(["fit", *words.split()])
    assert (str(read.model), str(read.data), read.cluster, read.na) == ("m.txt", "d.csv", "s", na)


@pytest.mark.parametrize(
    "words",
    [
        "simulate f.json --out x.csv --datasets 0",
        "simulate f.json --out x.csv --size 0 --clusters 5",
        "simulate f.json --out x.csv --clusters 1 --size 5",
        "simulate f.json --out x.csv --seed one",
        f"simulate f.json --out x.csv --seed {10**30}",
        "montecarlo f.json --datasets 0",
        "montecarlo f.json --datasets -5",
        "montecarlo f.json --datasets 2.5",
        "fit m.txt d.csv --cluster s --decimal ;",
        "fit m.txt d.csv --cluster s --function path",
        "fit m.txt d.csv --cluster s --na",
        "fit --na -99 --cluster s m.txt",
    ],
)
def test_values_that_make_no_sense_are_refused_before_anything_is_read(words, capsys):
    with pytest.raises(SystemExit) as stop:
        parser().parse_args(words.split())
    assert stop.value.code == 2
    assert "error: " in capsys.readouterr().err
