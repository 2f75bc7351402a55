"""Every Python block of the documentation runs, and prints what the block of text below it says."""

import contextlib
import io
import re
from pathlib import Path

import pytest

import mlsem_jax as ml
from mlsem_jax.inference import unregister_vcov
from mlsem_jax.inference.variance._vcov import _OWN, ESTIMATORS
from mlsem_jax.models import KINDS, unregister

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.S | re.M)


def blocks(page: str) -> list[tuple[int, str, str]]:
    """(line, code, expected output or '') of every Python block; text belongs to the Python block that it follows."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found: list[tuple[int, str, str]] = []
    for match in BLOCK.finditer(text):
        line = text[: match.start()].count("\n") + 2
        if match[1] == "python":
            found.append((line, match[2], ""))
        elif found:
            found[-1] = (*found[-1][:2], match[2])
    return found


def check(printed: str, expected: str, where: str) -> None:
    """Every expected line is printed, in this order; '...' stands for anything, at the end of a line for its rest."""
    rest = [line.rstrip() for line in printed.splitlines()]
    for line in expected.splitlines():
        wanted = line.rstrip()
        if wanted in ("", "..."):
            continue
        start, cut, end = wanted.partition("...")
        hits = [i for i, p in enumerate(rest) if (p.startswith(start) and p.endswith(end) if cut else p == wanted)]
        assert hits, f"{where}: not printed: {wanted!r}\n{printed}"
        rest = rest[hits[0] + 1 :]


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::mlsem_jax.ImproperSolutionWarning")
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)])
def test_page(page, tmp_path, monkeypatch):
    import jax

    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.chdir(tmp_path)
    precision = jax.config.jax_enable_x64
    space: dict = {"__name__": "__docs__"}
    try:
        for line, code, expected in blocks(page):
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile("\n" * (line - 1) + code, str(DOCS / page), "exec"), space)
            check(out.getvalue(), expected, f"docs/{page}, line {line}")
    finally:
        jax.config.update("jax_enable_x64", precision)
        for name in KINDS[5:]:  # a page that failed has not taken its own off the list
            unregister(name)
        for name in set(ESTIMATORS) - set(_OWN):
            unregister_vcov(name)
        pyplot.close("all")


def test_every_public_name_has_its_entry():
    """What users can import stands in the API reference."""
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^::: mlsem_jax\.(?:functional\._model\.)?(\w+)$", text, re.M))
    assert set(ml.__all__) - {"__version__", "datasets"} <= listed


def test_every_page_is_in_the_navigation():
    navigation = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")
    assert [page for page in PAGES if page not in navigation] == []


def test_links_between_pages_exist():
    for page in PAGES:
        text = (DOCS / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!http)([^)#]+)[^)]*\)", text):
            assert ((DOCS / page).parent / target).exists(), f"{page}: {target}"
