"""The page *Troubleshooting* has every status, every kind of error and warning, and what the library says of data and results."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import mlsem_jax as ml
from mlsem_jax import _errors

PACKAGE = Path(ml.__file__).parent
PAGE = (PACKAGE.parent / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
# first cells of the tables: the words of messages, `a` `b` where both stand in one, or in two with one cause
FRAGMENTS = [word for row in re.findall(r"^\| (`.*?`) \|", PAGE, re.M) for word in re.findall(r"`([^`]+)`", row)]
# modules whose sentences are about results, data and defaults; every one is on the page
TOLD = (
    "estimation/status/_design_notes.py",
    "estimation/status/_diagnosis.py",
    "estimation/status/_verify.py",
    "estimation/status/_limited_notes.py",
    "data/_missing_codes.py",
    "data/_variation.py",
    "data/_collinear.py",
    "data/_magnitude.py",
    "syntax/_advice.py",
)


def joined(node: ast.AST) -> str | None:
    """A text of the source with '…' in place of what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = [value.value if isinstance(value, ast.Constant) else "…" for value in node.values]
        return "".join(map(str, parts))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = joined(node.left), joined(node.right)
        return None if left is None or right is None else left + right
    return None


def texts(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = []
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        text = joined(node)
        if text is not None:
            skipped |= {id(inner) for inner in ast.walk(node)}
            # where a part depends on numbers, what stands inside of the braces is a text of its own
            found.append(text)
    return found


def test_every_status_and_every_kind_is_on_the_page():
    for status in ml.Status:
        assert f"| `{status.name}` |" in PAGE
    kinds = [name for name in vars(_errors) if name.endswith(("Error", "Warning"))]
    assert len(kinds) == 7
    for name in kinds:
        assert f"| `{name}` |" in PAGE


@pytest.mark.parametrize("module", TOLD)
def test_every_sentence_is_on_the_page(module):
    for text in texts(PACKAGE / module):
        # what goes on from another sentence is found with it
        sentence = len(text) > 60 and " " in text and not text.startswith((" Are", ", or", "… "))
        if sentence:
            assert any(fragment in text for fragment in FRAGMENTS), text


def test_what_the_page_quotes_is_said_somewhere():
    everything = "\n".join(text for path in PACKAGE.rglob("*.py") for text in texts(path))
    names = {status.name for status in ml.Status} | set(vars(_errors))
    assert [fragment for fragment in FRAGMENTS if fragment not in everything and fragment not in names] == []
