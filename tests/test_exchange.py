"""Models out (lavaan, Mplus) and in (lavaan's parameter table)."""

import io
import re

import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax.datasets import SCHOOLS_MODEL, load_schools

LABELLED = SCHOOLS_MODEL.replace("math1 + math2", "math1 + a*math2").replace("size", "start(0.2)*b*size") + (
    "\nindirect := a*b\na > 0.1\nb == 0.3*a\n"
)


@pytest.fixture(scope="module")
def labelled():
    return ml.sem(LABELLED, load_schools(), cluster="school")


@pytest.fixture(scope="module")
def grouped():
    data = load_schools().assign(kind=lambda d: d.public.map({1: "public", 0: "private"}))
    model = "level: 1\nmath =~ math1 + math2 + math3\nlevel: 2\nmath_b =~ math1 + math2 + math3"
    return ml.sem(model, data, cluster="school", group="kind", group_equal=["loadings"]), data


def same(a, b):
    assert b.npar == a.npar
    assert b.loglik == pytest.approx(a.loglik, abs=1e-6)
    assert b.fit_measures()["df"] == a.fit_measures()["df"]


@pytest.mark.parametrize("starts", [False, True])
def test_lavaan_text_is_the_same_model(labelled, starts):
    again = ml.lavaan(labelled.to_lavaan(starts=starts), load_schools(), cluster="school")
    same(labelled, again)
    assert set(again.coef().index) == set(labelled.coef().index)


def test_lavaan_text_with_groups_and_equalities(grouped):
    fit, data = grouped
    same(fit, ml.lavaan(fit.to_lavaan(), data, cluster="school", group="kind"))


def test_mplus_input(labelled):
    text = labelled.to_mplus("schools.dat")
    for line in (
        "  FILE = schools.dat;",
        "  CLUSTER = school;",
        "  WITHIN = ses girl;",
        "  BETWEEN = public size;",
        "  TYPE = TWOLEVEL;",
        "    math BY math1@1;",
        "    math BY math2* (a);",
        "    achievem ON size*0.2 (b);",
        "  NEW(indirect);",
        "! achievement is called achievem",
    ):
        assert line in text.splitlines(), line
    names = re.findall(r"\b[A-Za-z_]\w*\b", text.split("VARIABLE:")[1].split("ANALYSIS:")[0])
    assert all(len(name) <= 8 or name.isupper() for name in names)
    assert max(map(len, text.splitlines())) <= 90
    # means at level 1 of variables in both levels do not exist in Mplus
    assert "[math1" not in text.split("%BETWEEN%")[0]
    assert text.count("%WITHIN%") == 1


def test_mplus_names_stay_apart():
    data = load_schools().rename(columns={"math1": "mathematics1", "math2": "mathematics2", "math3": "mathematics3"})
    model = "level: 1\nf =~ mathematics1 + mathematics2 + mathematics3\nlevel: 2\nf =~ mathematics1 + mathematics2 + mathematics3"
    text = ml.sem(model, data, cluster="school").to_mplus()
    used = re.search(r"USEVARIABLES = (.*?);", text)[1].split()
    assert len(set(used)) == 3
    assert "f BY" in text.split("%BETWEEN%")[0]
    assert "f2 BY" in text.split("%BETWEEN%")[1]


def test_mplus_groups(grouped):
    text = grouped[0].to_mplus()
    assert "GROUPING = kind (1 = g1 2 = g2);" in text
    assert text.count("%WITHIN%") == 3


def test_networks_have_no_counterpart():
    fit = ml.ml_ggm(load_schools(), clusters="school", vars=["math1", "math2", "math3"]).fit()
    for write in (fit.to_lavaan, fit.to_mplus):
        with pytest.raises(ml.ModelError, match=r"no syntax for .* network"):
            write()


TABLE = """id,lhs,op,rhs,user,block,group,level,free,ustart,exo,label,plabel
1,f,=~,math1,1,1,1,1,0,1,0,,.p1.
2,f,=~,math2,1,1,1,1,1,NA,0,,.p2.
3,f,=~,math3,1,1,1,1,2,NA,0,,.p3.
4,math1,~~,math1,0,1,1,1,3,NA,0,,.p4.
5,math2,~~,math2,0,1,1,1,4,NA,0,,.p5.
6,math3,~~,math3,0,1,1,1,5,NA,0,,.p6.
7,f,~~,f,0,1,1,1,6,NA,0,,.p7.
8,g,=~,math1,1,2,1,2,0,1,0,,.p8.
9,g,=~,math2,1,2,1,2,7,NA,0,,.p9.
10,g,=~,math3,1,2,1,2,8,NA,0,mine,.p10.
11,math1,~~,math1,0,2,1,2,9,NA,0,,.p11.
12,math2,~~,math2,0,2,1,2,10,NA,0,,.p12.
13,math3,~~,math3,0,2,1,2,11,NA,0,,.p13.
14,g,~~,g,0,2,1,2,12,NA,0,,.p14.
15,math1,~1,,0,2,1,2,13,NA,0,,.p15.
16,math2,~1,,0,2,1,2,14,NA,0,,.p16.
17,math3,~1,,0,2,1,2,15,NA,0,,.p17.
18,.p2.,==,.p9.,2,0,0,0,0,NA,0,,
19,twice,:=,2*mine,1,0,0,0,0,NA,0,twice,
"""


def test_a_parameter_table_is_the_model_that_it_came_from(tmp_path):
    (tmp_path / "table.csv").write_text(TABLE)
    fit = ml.lavaan(ml.read_partable(tmp_path / "table.csv"), load_schools(), cluster="school")
    model = "level: 1\nf =~ math1 + a*math2 + math3\nlevel: 2\ng =~ math1 + a*math2 + mine*math3\ntwice := 2*mine"
    same(ml.sem(model, load_schools(), cluster="school"), fit)
    assert fit.parameter_estimates().iloc[-1].est == pytest.approx(2 * fit.coef()["mine"])


def test_a_parameter_table_of_write_csv2(tmp_path):
    table = pd.read_csv(io.StringIO(TABLE))
    table["est"] = 1.5
    table.to_csv(tmp_path / "table.csv", sep=";", decimal=",", na_rep="NA")
    assert ml.read_partable(tmp_path / "table.csv") == ml.read_partable(table)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop(columns="free"), "no column free"),
        (lambda t: t.drop(columns="level"), "one level"),
        (lambda t: t[t.level == 1], "has 1 level"),
        (lambda t: t.replace({"op": {"~1": "|"}}), r"Operators \| are not available"),
    ],
)
def test_tables_that_are_no_two_level_model(change, words):
    with pytest.raises(ml.ModelError, match=words):
        ml.read_partable(change(pd.read_csv(io.StringIO(TABLE))))
