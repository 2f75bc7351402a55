"""What an argument may be: a rule reads a value as the library uses it, or says in a sentence what is allowed."""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np

from mlsem_jax._errors import ModelError, nearest

F = TypeVar("F", bound=Callable[..., Any])
# characters of a value that a message shows
SHOWN = 60


class Refused(Exception):
    """A rule does not take a value; the text, where there is one, is what the user may have meant."""


@dataclass(frozen=True)
class Rule:
    """allowed: what is taken, in words that go on from 'x must be'. read: the value as the library uses it, or Refused."""

    allowed: str
    read: Callable[[Any], Any]


def check(name: str, value: Any, rule: Rule) -> Any:
    """The value as the rule reads it. Raises ModelError that names the argument and what it may be."""
    try:
        return rule.read(value)
    except Refused as hint:
        more = f" {hint}" if str(hint) else ""
        raise ModelError(f"{name}={shown(value)} is not available: {name} must be {rule.allowed}.{more}") from None


def shown(value: Any) -> str:
    """A value in a message: short ones as Python writes them, tables and objects by their kind."""
    if value is None or isinstance(value, str | numbers.Number | list | tuple | dict | set | np.generic):
        text = str(value) if isinstance(value, np.generic) else repr(value)
        return text if len(text) <= SHOWN else f"{text[: SHOWN - 4]} ..."
    return f"<{type(value).__name__}>"


def number_of(value: Any) -> float | None:
    """A real number as a float, also of NumPy and JAX without axes; None for anything else, booleans and text included."""
    if isinstance(value, bool | np.bool_ | str | bytes) or value is None:
        return None
    if isinstance(value, numbers.Real):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    # keys of jax.random have a type without a kind
    if getattr(value, "shape", None) == () and getattr(getattr(value, "dtype", None), "kind", "none") in (
        "i",
        "u",
        "f",
    ):
        return float(value)
    return None


def _no_number(value: Any) -> Refused:
    try:
        written = isinstance(value, str) and math.isfinite(float(value))
    except ValueError:
        written = False
    return Refused(f"Write the number without quotes: {value}." if written else "")


def _flag(value: Any) -> bool:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if number_of(value) in (0.0, 1.0):
        return bool(value)
    word = value.strip().lower() if isinstance(value, str) else ""
    meant = {"true": "True", "t": "True", "yes": "True", "false": "False", "f": "False", "no": "False"}.get(word)
    raise Refused(f"Write {meant}, without quotes." if meant else "")


FLAG = Rule("True or False", _flag)


def choice(*words: str, elsewhere: Mapping[str, str] | None = None) -> Rule:
    """One of these words, in upper or lower case. elsewhere: what to say to words that other programs take."""
    known = {word.lower(): word for word in words}
    foreign = {} if elsewhere is None else {word.lower(): told for word, told in elsewhere.items()}

    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise Refused()
        if value.lower() not in known:
            raise Refused(foreign.get(value.lower()) or nearest(value, words).strip())
        return known[value.lower()]

    told = f"one of {', '.join(map(repr, words))}" if len(words) > 2 else " or ".join(map(repr, words))
    return Rule(told, read)


def whole(lowest: int, highest: int | None = None) -> Rule:
    """A whole number in a range; 1e4 is one."""

    def read(value: Any) -> int:
        number = number_of(value)
        if number is None:
            raise _no_number(value)
        if not math.isfinite(number) or number != int(number) or number < lowest:
            raise Refused()
        if highest is not None and number > highest:
            raise Refused()
        return int(value)

    if highest == lowest + 1:
        return Rule(f"{lowest} or {highest}", read)
    return Rule(f"a whole number of at least {lowest}" + (f" and at most {highest}" if highest else ""), read)


def number(lowest: float = -math.inf, highest: float = math.inf, *, above: bool = False) -> Rule:
    """A finite number in a range, its ends included; above: but for the lowest."""
    words = "a number"
    if lowest > -math.inf:
        words += f" above {lowest:g}" if above else f" of at least {lowest:g}"
    if highest < math.inf:
        words += f" and at most {highest:g}"

    def read(value: Any) -> float:
        found = number_of(value)
        if found is None:
            raise _no_number(value)
        if not (math.isfinite(found) and lowest <= found <= highest) or (above and found == lowest):
            raise Refused()
        return found

    return Rule(words, read)


def _share(value: Any) -> float:
    found = number_of(value)
    if found is None:
        raise _no_number(value)
    if 1 < found < 100:
        raise Refused(f"Write {found / 100:g}, not {found:g}.")
    if not 0 < found < 1:
        raise Refused()
    return found


CONFIDENCE = Rule("a confidence level between 0 and 1, such as 0.95", _share)
SIGNIFICANCE = Rule("a significance level between 0 and 1, such as 0.05", _share)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Refused()
    return value


TEXT = Rule("text", _text)


def _path(value: Any) -> Any:
    if not isinstance(value, str | os.PathLike) or not str(value):
        raise Refused()
    return value


PATH = Rule("the name of a file", _path)


def _sizes(value: Any) -> Any:
    one = whole(1)
    if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__") or hasattr(value, "columns"):
        raise Refused()
    return np.array([one.read(size) for size in value])


SIZES = Rule("a list of the rows of each cluster, such as [10] * 50", _sizes)


def _is_list(value: Any) -> bool:
    """Whether a value is a sequence of values, and no text, table or mapping."""
    if isinstance(value, str | bytes | Mapping) or getattr(value, "ndim", 1) != 1 or hasattr(value, "columns"):
        return False
    return isinstance(value, Sequence | set | frozenset) or (hasattr(value, "__len__") and hasattr(value, "__iter__"))


def names(what: str = "a name") -> Rule:
    """Names, one or several, as a tuple."""

    def read(value: Any) -> tuple[str, ...]:
        given = (value,) if isinstance(value, str) else tuple(value) if _is_list(value) else None
        if given is None or not all(isinstance(word, str) for word in given):
            raise Refused()
        return tuple(str(word) for word in given)

    return Rule(f"{what} or a list of them", read)


def words(*known: str) -> Rule:
    """Some of these words, one or several, as a tuple; '_' may stand for '.', and '' for none."""
    several = names()

    def read(value: Any) -> tuple[str, ...]:
        given = [word for word in several.read(value) if word]
        for word in given:
            if word.replace("_", ".") not in known:
                raise Refused(f"{word!r} is not one of them.{nearest(word.replace('_', '.'), known)}")
        return tuple(word.replace("_", ".") for word in given)

    return Rule(f"one or a list of {', '.join(map(repr, known))}", read)


def optional(rule: Rule) -> Rule:
    """The rule, or None."""
    return Rule(f"{rule.allowed}, or None", lambda value: None if value is None else rule.read(value))


def either(first: Rule, second: Rule) -> Rule:
    """What one of two rules takes; the hint is the second's."""

    def read(value: Any) -> Any:
        try:
            return first.read(value)
        except Refused:
            return second.read(value)

    return Rule(f"{first.allowed} or {second.allowed}", read)


def _key(value: Any) -> Any:
    number = number_of(value)
    if number is not None:
        if number != number or not -(2.0**63) <= number < 2.0**63 or number != int(number):
            raise Refused()
        return int(value)
    import jax

    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is not None and jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key) and shape == ():
        return value
    if dtype == np.uint32 and shape == (2,):  # the older form of keys
        return value
    raise Refused()


KEY = Rule("a whole number, or one key of jax.random, such as jax.random.key(1)", _key)


def checked(**rules: Rule) -> Callable[[F], F]:
    """A decorator: the named arguments are read by rules before the function runs; None passes where it is the default.

    Arguments that the function does not have are told with the nearest that it has.
    """

    def wrap(function: F) -> F:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError as problem:
                known = [name for name in signature.parameters if name != "self"]
                near = "".join(nearest(name, known) for name in kwargs if name not in known)
                title = getattr(function, "__name__", "This function")
                raise TypeError(f"{title}(): {problem}.{near} It takes {', '.join(known)}.") from None
            for name, rule in rules.items():
                if name in bound.arguments:
                    value = bound.arguments[name]
                    if value is not None or signature.parameters[name].default is not None:
                        bound.arguments[name] = check(name, value, rule)
            return function(*bound.args, **bound.kwargs)

        return cast(F, called)

    return wrap
