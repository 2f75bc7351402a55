"""Write the page of all options from the one table of them, `mlsem_jax/options/_table.py`.

python docs/write_options.py
"""

import re
from pathlib import Path

from mlsem_jax._option_docs import markdown
from mlsem_jax.fronts._fit_text import ELSEWHERE
from mlsem_jax.options._table import NETWORKS, SECTIONS

DOCS = Path(__file__).parent
PAGE = DOCS / "options.md"

INTRODUCTION = """\
# Options

Every option of `ml.sem`, `ml.cfa`, `ml.growth` and `ml.lavaan` (`ml.efa` and `ml.sam` take most of them), and below those of network models.
Names and defaults are lavaan's, with `_` for `.`; `None` and `"default"` mean the default, and words may be in upper or lower case.
`help(ml.sem)` has the same table. A value that an option does not take is an error that lists those it takes; a name that does not exist is one
that says which is meant, also for R's spelling: `ml.sem(model, data, **{"std.lv": True})` is told `std_lv`.
"""
NETWORK_INTRODUCTION = """
Those of `ml.ml_lvm`, `ml.ml_lnm`, `ml.ml_rnm`, `ml.ml_lrnm`, `ml.ml_varcov`, `ml.ml_ggm` and `ml.ml_corr`, beside the patterns of their
matrices. They take the options of the search, of standard errors and tests (but not the bootstrap), and of surveys above as well.
"""
ELSEWHERE_INTRODUCTION = """
What users of lavaan may look for, and what takes its place:
"""


def titles() -> dict[str, str]:
    """Title of every page in the navigation, by file."""
    navigation = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")
    return {file: title for title, file in re.findall(r"^ +- (.+): (\S+\.md)$", navigation, re.M)}


def page() -> str:
    known, out = titles(), [INTRODUCTION]
    for title, options in SECTIONS.items():
        out += [f"## {title}", "", *markdown(options, known), ""]
    out += ["## Network models", NETWORK_INTRODUCTION, *markdown(NETWORKS, known), ""]
    out += ["## What goes by another name", ELSEWHERE_INTRODUCTION, "| option | what to do |", "|:--|:--|"]
    out += [f"| `{name}` | {told} |" for name, told in ELSEWHERE.items()]
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
