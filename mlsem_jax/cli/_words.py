"""The words of a command line: options that take several values leave the last ones to the files that follow them."""

from __future__ import annotations

import argparse
from typing import Any

from mlsem_jax._errors import nearest

# options that people try for those that write files
_MEANT = dict.fromkeys(("--save", "--out", "--output", "-o"), "--json, --csv and --report write files")


class CommandParser(argparse.ArgumentParser):
    """Reads `--na -99 model.txt data.csv` as it is meant: argparse gives an option of several values all words that follow."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        known, rest = super().parse_known_args(None if args is None else self._regrouped(list(args)), namespace)
        if rest:  # told here, where the options are known, and not by the parser of all commands
            self.error(self._unknown(rest))
        return known, rest

    def _unknown(self, rest: list[str]) -> str:
        """What to say of words that no option and no file is."""
        word = next((word.partition("=")[0] for word in rest if _is_option(word)), None)
        if word is None:
            return f"too many words: {' '.join(rest)}"
        if word in _MEANT:
            return f"there is no option {word}; {_MEANT[word]}. See {self.prog} --help"
        known = sorted(name for name in self._option_string_actions if name.startswith("--"))
        return f"there is no option {word}.{nearest(word, known) or f' See {self.prog} --help.'}"

    def _regrouped(self, words: list[str]) -> list[str]:
        """Options, each value of an option of several with a name of its own, then the files."""
        options: list[str] = []
        files: list[tuple[int, str]] = []
        runs: list[list[tuple[int, str]]] = []
        names: list[str] = []
        at = 0
        while at < len(words):
            word, action = words[at], self._option(words[at])
            at += 1
            if word == "--":
                files += list(enumerate(words[at:], at))
                break
            if action is None and not _is_option(word):
                files.append((at, word))
            elif action is None:
                options.append(word)
            elif action.nargs != "+" or "=" in word:
                takes = 1 if action.nargs is None and "=" not in word else 0
                options += words[at - 1 : at + takes]
                at += takes
            else:
                end = next((i for i in range(at, len(words)) if _is_option(words[i])), len(words))
                runs.append(list(enumerate(words[at:end], at + 1)))
                names.append(word)
                at = end
        wanted = sum(not action.option_strings for action in self._actions) - len(files)
        for run in reversed(runs):
            while wanted > 0 and len(run) > 1 and not _is_number(run[-1][1]):
                files.append(run.pop())
                wanted -= 1
        for name, run in zip(names, runs, strict=True):
            options += [f"{name}={value}" for _, value in run] or [name]
        given = [word for _, word in sorted(files)]
        return [*options, *(["--"] if any(map(_is_option, given)) else []), *given]

    def _option(self, word: str) -> argparse.Action | None:
        """The option that a word names, in full or in part."""
        name = word.partition("=")[0]
        if not _is_option(word) or name in self._option_string_actions:
            return self._option_string_actions.get(name)
        found = {id(a): a for known, a in self._option_string_actions.items() if known.startswith(name)}
        return next(iter(found.values())) if len(found) == 1 and name.startswith("--") else None


def _is_option(word: str) -> bool:
    """Whether a word looks like an option and not like a negative number, such as a code of missing values."""
    return word.startswith("-") and word != "-" and not _is_number(word)


def _is_number(word: str) -> bool:
    """Whether a word is a number, or several with commas between them."""
    try:
        for part in word.split(","):
            float(part)
    except ValueError:
        return False
    return True
