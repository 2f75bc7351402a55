"""What is imported when: a cold process waits for every module."""

import subprocess
import sys

import pytest

PROGRAM = """
import gc, sys
import mlsem_jax as ml
assert "jax" not in sys.modules
ml.sem
assert gc.isenabled()
# what was imported is old already: the next collections of young objects do not look through it
assert len(gc.get_objects(generation=0)) < 10_000, len(gc.get_objects(generation=0))
assert gc.get_freeze_count() == 0
late = ("equinox", "jaxtyping", "pandas", "scipy.special", "scipy.linalg", "matplotlib", "mlsem_jax.report.plots")
late = [m for m in late if m in sys.modules]
assert not late, late
import numpy as np
rng = np.random.default_rng(1)
f = rng.normal(size=300)
fit = ml.cfa("f =~ a + b + c", {name: f + rng.normal(size=300) for name in "abc"})
str(fit.summary(fit_measures=True))
late = [m for m in (sys.argv[1], "equinox", "scipy.stats", "matplotlib", "mlsem_jax.report.plots") if m in sys.modules]
assert not late, late
import mlsem_jax.report as report
assert all(getattr(report, name) is not None for name in report.__all__)
"""


# of newer versions of scipy the special functions import the linear algebra themselves
SPECIAL = "import sys, scipy.special; sys.exit('scipy.linalg' in sys.modules)"


@pytest.mark.timeout(120)
def test_a_fit_imports_what_it_needs_and_no_more():
    apart = subprocess.run([sys.executable, "-c", SPECIAL], check=False, timeout=50).returncode == 0
    subprocess.run([sys.executable, "-c", PROGRAM, "scipy.linalg" if apart else "-"], check=True, timeout=110)


FROZEN = """
import gc
kept = [[] for _ in range(1000)]
gc.freeze()
import mlsem_jax as ml
ml.sem
assert gc.get_freeze_count() > 1000
gc.disable()
ml.model
assert not gc.isenabled()
"""


@pytest.mark.timeout(120)
def test_what_a_program_says_to_its_garbage_collector_stays():
    subprocess.run([sys.executable, "-c", FROZEN], check=True, timeout=110)


def test_an_unknown_name_of_the_reports_is_told():
    import mlsem_jax.report as report

    with pytest.raises(AttributeError, match="no_such_picture"):
        report.no_such_picture  # noqa: B018
