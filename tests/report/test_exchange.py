"""Models out (lavaan, Mplus) and in (lavaan's parameter table)."""

import io
import itertools
import random
import re

import pandas as pd
import pytest

import mlsem_jax as ml
from mlsem_jax.datasets import SCHOOLS_MODEL, load_schools
from mlsem_jax.models import Binary, Call, Constraint, Definition, Level, Name, Number, Parameter, Specification
from mlsem_jax.report import to_lavaan, to_mplus
from mlsem_jax.report.exchange._exported_names import labels_in_r, variables_in_r
from mlsem_jax.syntax import SyntaxOptions, specify

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
        (lambda t: t[t.level == 2], "level 2 alone"),
        (lambda t: t.replace({"op": {"~1": "~@~"}}), r"Operators ~@~ are not available"),
    ],
)
def test_tables_that_are_no_two_level_model(change, words):
    with pytest.raises(ml.ModelError, match=words):
        ml.read_partable(change(pd.read_csv(io.StringIO(TABLE))))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.iloc[:0], "no rows"),
        (lambda t: t.assign(level="x"), "Row 1 .*level is 'x'"),
        (lambda t: t.assign(level=t.level + 1), "level is 3"),
        (lambda t: t.assign(level=None), "level is"),
        (lambda t: t.assign(free="yes"), "Row 1 .*free is 'yes'"),
        (lambda t: t.assign(free=-1), "free is -1"),
        (lambda t: t.assign(free=float("inf")), "free is inf"),
        (lambda t: t.assign(group="NL"), "group is 'NL'"),
        (lambda t: t.assign(exo="x"), "exo is 'x'"),
        (lambda t: t.assign(lhs=None), "name is missing"),
        (lambda t: t.assign(op=""), "Operators '' are not"),
        (lambda t: t.assign(lhs=t.lhs + "\nlevel: 2"), "line end"),
        (lambda t: t.assign(free=0, ustart=None, est=None), "fixed.*hold no number"),
        (lambda t: t.rename(columns={"label": "lhs"}), "several columns lhs"),
        (lambda t: None, "no column lhs|not NoneType"),
        (lambda t: 3, "not int"),
        (lambda t: [1, 2], "no column lhs"),
        (lambda t: {"lhs": 1}, "not dict"),
        (lambda t: "no such file.csv", "no file"),
    ],
)
def test_broken_parameter_tables_end_in_words(change, words):
    with pytest.raises((ml.ModelError, ml.DataError), match=words):
        ml.read_partable(change(pd.read_csv(io.StringIO(TABLE))))


def test_names_of_a_parameter_table_are_quoted_where_they_need_it():
    table = pd.read_csv(io.StringIO(TABLE)).replace({"math1": "math 1", "math2": "2nd"})
    data = load_schools().rename(columns={"math1": "math 1", "math2": "2nd"})
    assert (
        "math 1"
        in specify(
            ml.read_partable(table), options=SyntaxOptions.for_function("lavaan"), data_variables=list(data)
        ).variables
    )


AWKWARD = [
    "my var",
    "my.var",
    "1st",
    "if",
    "NA",
    "a+b",
    "x\ny ~ z",
    "größe",
    "²",
    "_y",
    "level",
    "c",
    'q"t',
    "a;b",
    "# c",
    ".2x",
]


def exported(seed):
    """A model with names, labels and groups that lavaan cannot read, and what it is written as."""
    source = random.Random(seed)
    names = source.sample(AWKWARD, 8)
    row = Parameter("", "=~", "", 1)
    rows = []
    for group, level in itertools.product((1, 2), (1, 2)):
        here = {"level": level, "group": group}
        rows += [row.but(lhs=names[0], rhs=y, label=source.choice(["", *AWKWARD]), **here) for y in names[1:4]]
        rows += [row.but(lhs=y, op="~~", rhs=y, lower=1e-3, **here) for y in names[:4]]
        rows += [row.but(lhs=y, op="~1", value=0.1 + 0.2, free=False, **here) for y in names[:4]]
    observed = Level(tuple(names[1:4]), (names[0],))
    labels = [r.label for r in rows if r.label]
    right = Binary(
        "^", Call("neg", Binary("-", Number(1 / 3), Binary("-", Name(labels[0]), Name(labels[-1])))), Number(2)
    )
    definition = Definition("t u", Binary("/", Name(labels[0]), Binary("/", right, Number(7))))
    limit = Constraint(Name(labels[0]), "<", Binary("*", Binary("+", Number(1), Name("t u")), Number(2)))
    groups = source.choice([("A b", 'x"\n# y'), ("NL", "2"), ("if", "level: 1"), ("1.5", "3")])
    return Specification(observed, observed, tuple(rows), (limit,), (definition,), groups)


@pytest.mark.parametrize("seed", range(25))
def test_what_is_written_for_lavaan_is_the_same_model_with_other_names(seed):
    specification = exported(seed)
    variables, labels = variables_in_r(specification), labels_in_r(specification)
    assert len(set(variables.values())) == len(variables)
    text = to_lavaan(specification)
    options = SyntaxOptions.for_function("lavaan")
    columns = [variables[name] for name in specification.variables]
    again = specify(text, options=options, data_variables=columns, group_labels=specification.groups)

    def shown(p, variables, labels):
        names = (variables.get(p.lhs, p.lhs), p.op, variables.get(p.rhs, p.rhs), p.level, p.group)
        return (*names, labels.get(p.label, p.label), p.free, p.value, p.lower)

    written = {shown(p, variables, labels) for p in specification.parameters}
    assert written <= {shown(p, {}, {}) for p in again.parameters}
    values = {label: 0.3 + 0.1 * i for i, label in enumerate(labels)}
    mine = specification.definitions[0].expression.evaluate(values)
    theirs = again.definitions[0].expression.evaluate({labels[name]: value for name, value in values.items()})
    assert float(mine) == pytest.approx(float(theirs))


@pytest.mark.parametrize("seed", range(10))
def test_names_and_group_labels_bring_no_lines_into_an_mplus_input(seed):
    text = to_mplus(exported(seed), "my\ncluster;", "my\ngroup")
    for line in text.splitlines():
        assert line.isascii() or line.startswith("!")
        assert len(line) <= 90
    heads = ("TITLE", "DATA", "VARIABLE", "ANALYSIS", "MODEL", "MODEL g1", "MODEL g2", "MODEL CONSTRAINT", "OUTPUT")
    known = ("!", " ", *(f"{head}:" for head in heads))
    assert all(line.startswith(known) for line in text.splitlines())


def test_functions_that_mplus_lacks_and_file_names_that_break_its_input_are_refused(labelled):
    with pytest.raises(ml.ModelError, match="line ends"):
        labelled.to_mplus("a;\nb.dat")
    definition = Definition("t", Call("qnorm", Name("a")))
    with pytest.raises(ml.ModelError, match="no function qnorm"):
        to_mplus(labelled.specification.but(definitions=(definition,)), "school")
