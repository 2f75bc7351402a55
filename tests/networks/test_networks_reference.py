"""Network models against psychonetrics 0.17.0; see psychonetrics/README.md for where the numbers come from."""

from __future__ import annotations

import gzip
import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mlsem_jax as ml

FOLDER = Path(__file__).parent / "psychonetrics"
# psychonetrics' estimates are at gradients below 1e-7, ours at a log-likelihood within 1e-13: both leave less than this
EST = 2e-6
# its likelihoods were recomputed as dense normal densities
LOGL = 1e-7

pytestmark = pytest.mark.timeout(600)


@cache
def case(name: str) -> tuple[dict, pd.DataFrame]:
    return json.loads(gzip.decompress((FOLDER / f"{name}.json.gz").read_bytes())), pd.read_csv(
        FOLDER / f"{name}.csv.gz"
    )


@cache
def model(name: str, fit: str):
    content, data = case(name)
    call = next(item["call"] for item in content["fits"] if item["name"] == fit)
    arguments = dict(call["arguments"])
    if "lambda" in arguments:
        arguments["lambda_"] = arguments.pop("lambda")
    made = getattr(ml, call["function"])(data, **arguments)
    for step in call.get("then") or ():
        inside = re.fullmatch(r"fixpar\('(\w+)', (\d), (\d), value = ([\d.]+)\)", step)
        made = made.fixpar(inside[1], int(inside[2]), int(inside[3]), value=float(inside[4]))
    return made


@cache
def fitted(name: str, fit: str):
    return model(name, fit).fit()


def all_fits():
    for name in ("types_latent_4x4", "two_groups", "rnm_residual_network", "ggm8_prune", "identification"):
        yield from (pytest.param(name, item, id=f"{name}-{item['name']}") for item in case(name)[0]["fits"])


@pytest.mark.parametrize(("name", "item"), list(all_fits()))
def test_fit(name, item):
    fit = fitted(name, item["name"])
    assert fit.converged
    measures = fit.fit_measures(convention="psychonetrics")
    assert measures["logl"] == pytest.approx(item["direct_logl"], abs=LOGL)
    assert measures["unrestricted.logl"] == pytest.approx(item["direct_unrestricted_logl"], abs=LOGL)
    for key in ("npar", "df", "chisq", "baseline.chisq", "baseline.df", "cfi", "rmsea", "aic.ll", "bic"):
        if item["fitmeasures"][key] is not None:
            assert measures[key] == pytest.approx(item["fitmeasures"][key], abs=2e-6, rel=1e-7), key
    table = fit.parameters().set_index(["matrix", "row", "col", "group"])
    for *place, est, se in item["parameters"]:
        assert table.loc[tuple(place), "est"] == pytest.approx(est, rel=EST, abs=EST), place
        assert table.loc[tuple(place), "se"] == pytest.approx(se, rel=5e-6), place
    assert (~table["fixed"]).sum() == len(item["parameters"])


@pytest.mark.parametrize(
    ("name", "fit"), [("types_latent_4x4", "within_cov__between_cov"), ("rnm_residual_network", "ml_rnm_empty")]
)
def test_modification_indices(name, fit):
    item = next(item for item in case(name)[0]["fits"] if item["name"] == fit)
    table = fitted(name, fit).MIs(top=None).set_index(["matrix", "row", "col", "group"])
    for *place, mi, epc in item["mis"]:
        assert table.loc[tuple(place), "mi"] == pytest.approx(mi, rel=1e-4, abs=1e-5), place
        assert table.loc[tuple(place), "epc"] == pytest.approx(epc, rel=1e-4, abs=1e-6), place


SEARCHES = {
    ("ggm8_prune", "prune_none"): lambda f: f.prune(alpha=0.05),
    ("ggm8_prune", "prune_none_recursive"): lambda f: f.prune(alpha=0.05, recursive=True),
    ("ggm8_prune", "prune_fdr_recursive"): lambda f: f.prune(alpha=0.05, adjust="fdr", recursive=True),
    ("ggm8_prune", "prune_bonferroni"): lambda f: f.prune(alpha=0.05, adjust="bonferroni"),
    ("ggm8_prune", "prune_default"): lambda f: f.prune(),
    ("ggm8_prune", "prune_none_then_stepup"): lambda f: f.prune(alpha=0.05).stepup(alpha=0.05),
    ("rnm_residual_network", "stepup_alpha_0.01"): lambda f: f.stepup(alpha=0.01),
    ("rnm_residual_network", "stepup_alpha_0.05_criterion_none"): lambda f: f.stepup(alpha=0.05, criterion="none"),
    ("rnm_residual_network", "modelsearch"): lambda f: f.modelsearch(prunealpha=0.01, addalpha=0.01),
}


@pytest.mark.parametrize(("name", "search"), SEARCHES)
def test_search(name, search):
    content = case(name)[0]
    want = content["search"][search]
    start = fitted(name, content["fits"][0]["name"])
    found = SEARCHES[name, search](start)
    measures = found.fit_measures(convention="psychonetrics")
    for key in ("npar", "df", "logl", "chisq"):
        assert measures[key] == pytest.approx(want[key], abs=2e-6), key
    table = found.parameters()
    edges = table[table["matrix"].str.startswith("omega_epsilon" if "rnm" in name else "omega") & ~table["fixed"]]
    edges = edges.set_index(["matrix", "row", "col"])
    assert set(edges.index) == {tuple(edge[:3]) for edge in want["edges"]}
    for *place, est, se in want["edges"]:
        assert edges.loc[tuple(place), "est"] == pytest.approx(est, rel=EST, abs=EST)
        assert edges.loc[tuple(place), "se"] == pytest.approx(se, rel=5e-6)
    assert len(found.log) > len(start.log)
    assert str(found.log)


def test_groupequal_of_a_fit_is_the_fit_with_equal():
    want = case("two_groups")[0]["groupequal_lambda"]
    fit = fitted("two_groups", "configural").groupequal("lambda")
    assert (fit.npar, fit.fit_measures(convention="psychonetrics")["df"]) == (want["npar"], want["df"])
    assert fit.loglik == pytest.approx(fitted("two_groups", "lambda").loglik, abs=1e-9)
    back = fit.groupfree("lambda")
    assert back.loglik == pytest.approx(fitted("two_groups", "configural").loglik, abs=1e-9)


def test_compare():
    want = case("two_groups")[0]["compare"]
    fits = {name: fitted("two_groups", name) for name in reversed(want["model"])}
    table = ml.compare(**fits)
    assert list(table["model"]) == want["model"]
    for column in ("DF", "AIC", "BIC", "RMSEA", "Chisq", "Chisq_diff", "DF_diff", "p_value"):
        np.testing.assert_allclose(table[column], np.array(want[column], float), rtol=1e-6, atol=2e-6, err_msg=column)
