"""What was done to a model and why, in order."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One entry: the action in words, and the model after it."""

    action: str
    npar: int | None = None
    df: int | None = None
    chisq: float | None = None
    bic: float | None = None

    def __str__(self) -> str:
        if self.npar is None:
            return self.action
        test = f", chi-square {self.chisq:.3f} on {self.df} df" if self.chisq is not None else ""
        return f"{self.action}\n    {self.npar} parameters{test}, BIC {self.bic:.3f}"


class Log(tuple):
    """The steps of a search; `print(fit.log)` shows them."""

    __slots__ = ()

    def then(self, step: Step) -> Log:
        """The log with one more step."""
        return Log((*self, step))

    def __str__(self) -> str:
        return (
            "\n".join(f"{i}. {step}" for i, step in enumerate(self, 1))
            or "Nothing was changed since the model was made."
        )

    def __repr__(self) -> str:
        return f"<Log of {len(self)} step{'s' * (len(self) != 1)}>\n{self}"
