"""Write the page of lavInspect's words from the table of them, `mlsem_jax/report/_inspect_words.py`.

python docs/write_inspect.py
"""

from pathlib import Path

from mlsem_jax.report import INSPECT_REFUSED, INSPECT_SECTIONS

PAGE = Path(__file__).parent / "inspect.md"

INTRODUCTION = """\
# What `inspect()` answers

`fit.inspect("cov.lv")` knows the words of lavaan's `lavInspect()`. Upper and lower case, `.` and `_` are alike. What is of levels is a dictionary,
`{"within": ..., "between": ...}`, with several groups by group label; in a model of one level it is the part alone. Gradients and information
matrices are those of the parameters left after linear equality constraints, and, as in lavaan, by row: the discrepancy function is minus the
log-likelihood divided by the number of rows.
"""
REFUSED = """\
## Words that are not answered

They are errors that say this:
"""


def page() -> str:
    out = [INTRODUCTION]
    for title, words in INSPECT_SECTIONS.items():
        out += [f"## {title}", "", "| word | also | answer |", "|:--|:--|:--|"]
        for word in words:
            also = ", ".join(f"`{name}`" for name in word.aliases)
            only = f" Only with {word.only}." if word.only else ""
            out.append(f"| `{word.name}` | {also} | {word.about}{only} |")
        out.append("")
    out += [REFUSED, "| word | what to do |", "|:--|:--|"]
    by_sentence: dict[str, list[str]] = {}
    for name, told in INSPECT_REFUSED.items():
        by_sentence.setdefault(told, []).append(f"`{name}`")
    out += [f"| {', '.join(names)} | {told} |" for told, names in by_sentence.items()]
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
