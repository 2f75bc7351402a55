"""CSV files that spreadsheets open: text is no formula there, and comes back as it was."""

import pandas as pd
import pytest

from mlsem_jax.files import read_table
from mlsem_jax.files._csv import guarded, unguarded, unguarded_table, write_csv

TEXTS = ("=cmd|A1", "=1+1", "+x", "-x", "@SUM(A1)", "\tx", "\rx", "'=x", "''=x", "'quoted'", "f", "", "a=b", "-", "=")
KEPT = ("=~", "==", "~~", ":=", "-5", "+1.5e3", "-.5", "-inf", "f")


@pytest.mark.parametrize("text", TEXTS)
def test_no_text_begins_like_a_formula_and_all_come_back(text):
    assert not guarded(text).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert unguarded(guarded(text)) == text


@pytest.mark.parametrize("value", [*KEPT, 5, -5.5, None, True])
def test_numbers_and_operators_stay(value):
    assert guarded(value) is value


def test_tables(tmp_path):
    table = pd.DataFrame({"=lhs": ["=cmd|A1", "f"], "op": ["=~", "=="], "est": [-1.5, 2.0]}, index=["=a", "b"])
    path = tmp_path / "x.csv"
    write_csv(table, path, index=True)
    assert path.read_text() == ",'=lhs,op,est\n'=a,'=cmd|A1,=~,-1.5\nb,f,==,2.0\n"
    pd.testing.assert_frame_equal(
        unguarded_table(pd.read_csv(path, index_col=0)).reset_index(drop=True), table.reset_index(drop=True)
    )
    assert list(read_table(path).columns)[1:] == ["=lhs", "op", "est"]
    assert list(table.columns) == ["=lhs", "op", "est"]  # the table itself is left alone


def test_a_parameter_table_is_read_back(tmp_path):
    rows = [("=cmd|A1", "=~", f"y{i}", level) for level in (1, 2) for i in (1, 2, 3)]
    table = pd.DataFrame(rows, columns=["lhs", "op", "rhs", "level"]).assign(free=1)
    write_csv(table, tmp_path / "model.csv")
    assert "'=cmd|A1,=~,y1" in (tmp_path / "model.csv").read_text()
    assert list(read_table(tmp_path / "model.csv")["lhs"]) == list(table["lhs"])
