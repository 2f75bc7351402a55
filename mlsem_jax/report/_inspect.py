"""inspect(): the answer to one of lavInspect's words, or a sentence that says where it is to be had."""

from __future__ import annotations

from typing import Any

from mlsem_jax._errors import ModelError, nearest
from mlsem_jax.report._inspect_words import BY_NAME, REFUSED
from mlsem_jax.report._inspect_words import WORDS as ALL_WORDS
from mlsem_jax.report._results import Results

# the words that a fit of any model by its likelihood answers
WORDS = {name: word for name, word in ALL_WORDS.items() if not word.only}


def inspect(results: Results, what: str) -> Any:
    """The answer to one of lavInspect's words; upper and lower case, '.', '_' and '-' are alike."""
    word = str(what).lower().replace("_", ".").replace("-", ".")
    if word in BY_NAME:
        return BY_NAME[word].answer(results)
    if word in REFUSED:
        raise ModelError(f"inspect({what!r}) is not answered here. {REFUSED[word]}")
    raise ModelError(f"inspect() does not know {what!r}.{nearest(word, BY_NAME)} It knows {', '.join(ALL_WORDS)}.")
